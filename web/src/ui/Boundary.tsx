import type { ComponentChildren } from "preact";
import { useErrorBoundary } from "preact/hooks";

import { told } from "../api";
import { Fault, Page } from "./basics";

/** What cannot be drawn must not take the rest of the page with it, nor a page the app. `title`: it is a page. */
export function Boundary({ title, children }: { title?: string; children: ComponentChildren }) {
  const [error, retry] = useErrorBoundary() as readonly [unknown, () => void];
  if (error === undefined) return <>{children}</>;
  const fault = <Fault error={new Error(`This cannot be shown: ${told(error)}`)} retry={retry} />;
  return title === undefined ? fault : <Page title={title}>{fault}</Page>;
}
