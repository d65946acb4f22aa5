/** What PipeScript has, as the server tells it. */
import { json, type Json } from "../api";

export interface Transform {
  readonly name: string;
  readonly description: string;
  readonly args: readonly { readonly name: string; readonly description: string; readonly optional: boolean }[] | null;
  readonly examples: readonly {
    readonly script: string;
    readonly data: readonly { readonly t: number; readonly d: Json }[];
    readonly result: readonly Json[] | null;
  }[] | null;
}

export interface Interpolator {
  readonly name: string;
  readonly description: string;
}

let transforms: Promise<readonly Transform[]> | null = null;
let interpolators: Promise<readonly Interpolator[]> | null = null;

export function readTransforms(): Promise<readonly Transform[]> {
  transforms ??= json("get", "/api/v1/meta/transforms").then(
    (found) => Object.values(found as unknown as Readonly<Record<string, Transform>>),
    (error: unknown) => {
      transforms = null;
      throw error;
    },
  );
  return transforms;
}

export function readInterpolators(): Promise<readonly Interpolator[]> {
  interpolators ??= json("get", "/api/v1/meta/interpolators").then(
    (found) => Object.values(found as unknown as Readonly<Record<string, Interpolator>>),
    (error: unknown) => {
      interpolators = null;
      throw error;
    },
  );
  return interpolators;
}
