import { Icon } from "../ui/Icon";

/** Where deleting begins, away from saving. */
export function Danger({ kind, onDelete }: { kind: string; onDelete: () => void }) {
  return (
    <section class="card narrow" aria-labelledby="danger">
      <h2 id="danger">Delete</h2>
      <button type="button" class="danger-quiet" onClick={onDelete}>
        <Icon name="trash" /> <span>Delete this {kind}…</span>
      </button>
    </section>
  );
}
