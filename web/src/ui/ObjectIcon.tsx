import { signal } from "@preact/signals";

/** The pictures of named icons: they come after the page, as the page is whole without them. */
const pictures = signal<Readonly<Record<string, string>> | null>(null);
let asked = false;

export function loadPictures(): typeof pictures {
  if (!asked) {
    asked = true;
    import("../lib/pictures").then(
      (module) => (pictures.value = module.PICTURES),
      () => (asked = false),
    );
  }
  return pictures;
}

const BASE64_IMAGES = [
  ["iVBOR", "image/png"],
  ["/9j/", "image/jpeg"],
  ["R0lGOD", "image/gif"],
  ["UklGR", "image/webp"],
] as const;

/** The address of the picture that an icon is, or null: one that has only a name, or is something else. */
export function pictureOf(icon: string): string | null {
  if (/^data:image\/(png|jpeg|gif|webp|svg\+xml|x-icon|avif)[;,]/i.test(icon)) return icon;
  const plain = icon.replace(/-/g, "+").replace(/_/g, "/");
  const found = BASE64_IMAGES.find(([start]) => plain.startsWith(start));
  return found ? `data:${found[1]};base64,${plain}` : null;
}

/** The icon of a user, device or stream; without one, the first letter of its name. */
export function ObjectIcon({ icon = "", name, size = 40 }: { icon?: string | undefined; name: string; size?: number }) {
  const style = { width: `${size}px`, height: `${size}px` };
  const picture = pictureOf(icon);
  if (picture !== null) return <img class="object-icon" src={picture} alt="" style={style} />;
  const named = /^(?:material|fa):(.+)$/.exec(icon)?.[1]?.replace(/-/g, "_");
  const path = named === undefined ? undefined : loadPictures().value?.[named];
  return (
    <span class="object-icon" style={style} aria-hidden="true">
      {path === undefined ? (
        <span>{(Array.from(name)[0] ?? "?").toUpperCase()}</span>
      ) : (
        <svg viewBox="0 0 24 24" width={size * 0.6} height={size * 0.6} focusable="false">
          <path d={path} />
        </svg>
      )}
    </span>
  );
}
