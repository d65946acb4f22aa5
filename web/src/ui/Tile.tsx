import type { ComponentChildren } from "preact";

import { ObjectIcon } from "./ObjectIcon";

/** A user, a device or a stream in a list: all of it is one link. */
export function Tile({
  href,
  icon,
  name,
  nickname,
  note,
  tags = [],
  children,
}: {
  href: string;
  icon?: string | undefined;
  name: string;
  nickname?: string | undefined;
  note?: ComponentChildren;
  tags?: readonly string[];
  children?: ComponentChildren;
}) {
  return (
    <div class="tile">
      <a href={href} class="tile-link">
        <ObjectIcon icon={icon} name={nickname || name} />
        <span class="tile-words">
          <span class="tile-name">{nickname || name}</span>
          {nickname && nickname !== name && <span class="tile-path">{name}</span>}
          {note && <span class="tile-note">{note}</span>}
        </span>
      </a>
      {tags.length > 0 && (
        <span class="tags">
          {tags.map((tag) => (
            <span class="tag" key={tag}>
              {tag}
            </span>
          ))}
        </span>
      )}
      {children}
    </div>
  );
}
