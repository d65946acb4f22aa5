import { useState } from "preact/hooks";

import { createUser, deleteUser, readUser, updateUser, type User } from "../api";
import { nameFault } from "../lib/names";
import { navigate, to } from "../lib/router";
import { isAdmin, loadSession, myName, signOut } from "../lib/session";
import { Fault, Loading, Page } from "../ui/basics";
import { DeleteDialog } from "../ui/Dialog";
import { AreaField, CheckField, Form, PasswordField, SelectField, TextField } from "../ui/fields";
import { useAction, useLoad } from "../ui/hooks";
import { IconField } from "../ui/IconField";
import { notify } from "../ui/notices";
import { useFields } from "../ui/useForm";
import { Danger } from "./Danger";

export default function EditUser({ user }: { user: string | null }) {
  const found = useLoad(async (signal) => (user === null ? {} : readUser(user, signal)), [user]);
  const title = user === null ? "New user" : user === myName.value ? "My profile" : `Edit the user ${user}`;
  const crumbs = isAdmin.value ? ([["Users", "/users"]] as const) : ([["Account", "/account"]] as const);
  return (
    <Page title={title} crumbs={crumbs}>
      <Fault error={found.error} retry={found.reload} />
      {found.loading && !found.data && <Loading />}
      {found.data && <UserForm user={user} given={found.data} />}
    </Page>
  );
}

function UserForm({ user, given }: { user: string | null; given: User }) {
  const fields = useFields({
    name: user ?? "",
    nickname: given.nickname ?? "",
    email: given.email ?? "",
    password: "",
    description: given.description ?? "",
    icon: given.icon ?? "",
    role: given.role ?? (user === null ? "user" : ""),
    public: given.public ?? false,
  });
  const { values, set } = fields;
  const [tried, setTried] = useState(false);
  const [deleting, setDeleting] = useState(false);
  const fresh = user === null;
  const self = user === myName.value;
  const faults = {
    name: fresh ? nameFault(values.name) : null,
    email: /^[^@\s]+@[^@\s]+$/.test(values.email) ? null : "An e-mail address looks like name@example.com.",
    password: fresh && !values.password ? "Please give a password." : null,
  };
  const action = useAction(async () => {
    if (fresh) {
      const { name, ...rest } = values;
      await createUser(name, rest);
      fields.saved();
      notify(`The user ${name} was created.`);
      navigate(to("/u/{}", name));
      return;
    }
    const { name: _, ...changes } = fields.changes;
    await updateUser(user, changes);
    set("password", "");
    fields.saved();
    notify("Saved.");
    if (self) await loadSession();
    navigate(self ? "/account" : to("/u/{}", user));
  });
  const showRole = fresh || (isAdmin.value && given.role !== undefined);
  const roles = [...new Set(["user", "admin", values.role])].filter(Boolean);
  return (
    <>
      <div class="card narrow">
        <Fault error={action.error} />
        <Form
          submit={fresh ? "Create the user" : "Save"}
          busy={action.busy}
          busyText="Saving"
          onSubmit={() => {
            setTried(true);
            if (Object.values(faults).every((fault) => fault === null)) void action.run();
          }}
        >
          {fresh && (
            <TextField
              label="User name"
              value={values.name}
              onInput={(value) => set("name", value)}
              autocomplete="off"
              autocapitalize="none"
              spellcheck={false}
              required
              help="Letters from a to z, digits, - and _. It cannot be changed later."
              fault={tried ? faults.name : null}
            />
          )}
          <TextField
            label="Shown name"
            value={values.nickname}
            onInput={(value) => set("nickname", value)}
            autocomplete="off"
          />
          <TextField
            label="E-mail address"
            type="email"
            value={values.email}
            onInput={(value) => set("email", value)}
            autocomplete="off"
            required
            fault={tried ? faults.email : null}
          />
          {(fresh || !self) && (
            <PasswordField
              label={fresh ? "Password" : "New password"}
              value={values.password}
              onInput={(value) => set("password", value)}
              autocomplete="new-password"
              fault={tried ? faults.password : null}
              help={fresh ? undefined : "Leave it empty to keep the one there is."}
            />
          )}
          <AreaField
            label="Description"
            value={values.description}
            onInput={(value) => set("description", value)}
          />
          <IconField value={values.icon} name={values.nickname || values.name} onChange={(value) => set("icon", value)} />
          {showRole && (
            <SelectField
              label="Role"
              value={values.role}
              options={roles.map((role) => [role, role === "admin" ? "admin: may do everything" : role] as const)}
              onChange={(value) => set("role", value)}
            />
          )}
          {(fresh || given.public !== undefined) && (
            <CheckField
              label="Public"
              help="Other users can see that there is this user, and those of the devices that are public."
              checked={values.public}
              onChange={(value) => set("public", value)}
            />
          )}
        </Form>
      </div>
      {!fresh && <Danger kind="user" onDelete={() => setDeleting(true)} />}
      {!fresh && deleting && (
        <DeleteDialog
          kind="user"
          name={user}
          consequences={`All devices and streams of ${self ? "yours" : user}, with all of their data, are deleted as well.`}
          onClose={() => setDeleting(false)}
          onDelete={async () => {
            await deleteUser(user);
            notify(`The user ${user} was deleted.`);
            if (self) await signOut();
            else navigate("/users");
          }}
        />
      )}
    </>
  );
}
