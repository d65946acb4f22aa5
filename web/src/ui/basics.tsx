import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

import { Problem, told } from "../api";
import { arriving } from "../lib/router";
import { notify } from "./notices";
import { Icon, type IconName } from "./Icon";

/** The frame of a page: its heading gets the focus when one arrives, so that a screen reader reads where one is. */
export function Page({
  title,
  crumbs = [],
  actions,
  lead,
  children,
}: {
  title: string;
  crumbs?: readonly (readonly [label: string, href: string])[];
  actions?: ComponentChildren;
  lead?: ComponentChildren;
  children?: ComponentChildren;
}) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = title === "ConnectorDB" ? title : `${title} · ConnectorDB`;
    if (arriving.now) {
      arriving.now = false;
      heading.current?.focus({ preventScroll: true });
    }
  }, [title]);
  return (
    <div class="page">
      {crumbs.length > 0 && (
        <nav aria-label="Where you are" class="crumbs">
          <ol>
            {crumbs.map(([label, href]) => (
              <li key={href}>
                <a href={href}>{label}</a>
              </li>
            ))}
          </ol>
        </nav>
      )}
      <div class="title">
        <h1 tabIndex={-1} ref={heading}>
          {title}
        </h1>
        {actions !== undefined && <div class="actions">{actions}</div>}
      </div>
      {lead !== undefined && <div class="lead">{lead}</div>}
      {children}
    </div>
  );
}

/** What went wrong, read out at once. */
export function Fault({ error, retry }: { error: unknown; retry?: () => void }) {
  if (error === undefined || error === null) return null;
  const ref = error instanceof Problem ? error.ref : "";
  return (
    <div class="fault" role="alert">
      <Icon name="warn" />
      <div>
        <p>{told(error)}</p>
        {ref && error instanceof Problem && error.status >= 500 && (
          <p class="small">
            The server’s log tells more, under <code>{ref}</code>.
          </p>
        )}
        {retry && (
          <button type="button" class="quiet" onClick={retry}>
            Try again
          </button>
        )}
      </div>
    </div>
  );
}

export function Loading({ what = "Loading" }: { what?: string }) {
  return (
    <p class="loading" role="status">
      <span class="spinner" aria-hidden="true" /> {what}…
    </p>
  );
}

export function Empty({ children }: { children: ComponentChildren }) {
  return <div class="empty">{children}</div>;
}

/** A button that looks like a link is a link; this one looks like a button and goes somewhere. */
export function LinkButton({
  href,
  icon,
  primary = false,
  children,
}: {
  href: string;
  icon?: IconName;
  primary?: boolean;
  children: ComponentChildren;
}) {
  return (
    <a class={primary ? "button primary" : "button"} href={href}>
      {icon && <Icon name={icon} />}
      <span>{children}</span>
    </a>
  );
}

/** Copies `text`, and says that it has. */
export function CopyButton({ text, what }: { text: string; what: string }) {
  return (
    <button
      type="button"
      onClick={() => {
        void copy(text).then((done) => notify(done ? `Copied: ${what}.` : `${what} could not be copied: mark it, and copy it by hand.`));
      }}
    >
      <Icon name="copy" /> <span>Copy<span class="sr"> {what}</span></span>
    </button>
  );
}

export async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Over plain HTTP from another machine there is no clipboard but this old one.
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "offscreen";
    document.body.append(area);
    area.select();
    // eslint-disable-next-line @typescript-eslint/no-deprecated
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}
