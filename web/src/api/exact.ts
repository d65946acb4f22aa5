/**
 * Whole numbers of which a double would lose digits, as ids of 64 bits: they are read as `bigint`, shown with all digits,
 * and written as they were. Browsers older than 2025 cannot do that, and round them.
 */
declare global {
  interface JSON {
    rawJSON?: (text: string) => unknown;
  }
}

const { rawJSON } = JSON;
/** So many digits may be too many; longer ones than this are numbers to nobody. */
const WHOLE = /^-?\d{16,400}$/;
/** Most texts have nothing of the kind, and are read at full speed. */
const SUSPICIOUS = /(?:^|[^\d.])\d{16}/;

if (rawJSON) {
  Object.defineProperty(BigInt.prototype, "toJSON", {
    value: function (this: bigint) {
      return rawJSON(String(this));
    },
  });
}

/** What a text of JSON says. */
export function parseJson(text: string): unknown {
  if (!rawJSON || !SUSPICIOUS.test(text)) return JSON.parse(text) as unknown;
  return JSON.parse(text, (_key, value: unknown, context?: { readonly source?: string }) =>
    typeof value === "number" && !Number.isSafeInteger(value) ? numberOf(context?.source ?? "", value) : value,
  ) as unknown;
}

export const isNumber = (value: unknown): value is number | bigint => typeof value === "number" || typeof value === "bigint";

/** The number that `text` is, with all its digits. */
export const numberOf = (text: string, rounded = Number(text)): number | bigint =>
  rawJSON && !Number.isSafeInteger(rounded) && WHOLE.test(text) ? BigInt(text) : rounded;
