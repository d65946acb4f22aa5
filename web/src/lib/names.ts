/** The rules for names of users, devices and streams, which are the server's. */
const NAME = /^[a-zA-Z][a-zA-Z0-9_-]*$/;
const LENGTH_MAX = 29;

/** What is wrong with `name`, or null. `taken` are the names that there are already. */
export function nameFault(name: string, taken: readonly string[] = []): string | null {
  if (!name) return "Please give a name.";
  if (!/^[a-zA-Z]/.test(name)) return "A name begins with a letter from a to z.";
  if (!NAME.test(name)) return "A name has only letters from a to z, digits, - and _.";
  if (name.length > LENGTH_MAX) return `A name has at most ${LENGTH_MAX} characters; this one has ${name.length}.`;
  if (taken.includes(name)) return `There is a “${name}” already.`;
  return null;
}

/** A name made of what a person calls something: “My phone” becomes `my-phone`. */
export function nameOf(title: string): string {
  const plain = title
    .normalize("NFKD")
    .replace(/[\u0300-\u036f]/g, "")
    .toLowerCase()
    .replace(/[^a-z0-9_]+/g, "-")
    .replace(/^[^a-z]+|-+$/g, "");
  return plain.slice(0, LENGTH_MAX).replace(/-+$/, "");
}
