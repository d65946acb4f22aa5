import { listUsers } from "../api";
import { to } from "../lib/router";
import { Fault, LinkButton, Loading, Page } from "../ui/basics";
import { useLoad } from "../ui/hooks";
import { PagedList } from "../ui/PagedList";
import { Tile } from "../ui/Tile";

export default function Users() {
  const users = useLoad((signal) => listUsers(signal), []);
  return (
    <Page
      title="Users"
      actions={
        <LinkButton href="/new/user" icon="plus" primary>
          New user
        </LinkButton>
      }
    >
      <Fault error={users.error} retry={users.reload} />
      {users.loading && !users.data && <Loading />}
      {users.data && (
        <PagedList
          items={users.data}
          keyOf={({ name = "" }) => name}
          wordsOf={({ name, nickname, email, description }) => `${name} ${nickname ?? ""} ${email ?? ""} ${description ?? ""}`}
          what="users"
        >
          {({ name = "", nickname, icon, email, role, public: isPublic }) => (
            <Tile
              href={to("/u/{}", name)}
              icon={icon}
              name={name}
              nickname={nickname}
              note={email}
              tags={[...(role && role !== "user" ? [role] : []), ...(isPublic ? ["public"] : [])]}
            >
              <a class="tile-edit" href={to("/edit/user/{}", name)}>
                Edit<span class="sr"> {name}</span>
              </a>
            </Tile>
          )}
        </PagedList>
      )}
    </Page>
  );
}
