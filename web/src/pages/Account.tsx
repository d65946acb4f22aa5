import { useState } from "preact/hooks";

import { login, Problem, readVersion, updateUser } from "../api";
import { to } from "../lib/router";
import { myName, remembered, session, signIn, signOut } from "../lib/session";
import { theme } from "../lib/settings";
import { browserZone, chosenZone, timeText, now } from "../lib/time";
import { Fault, LinkButton, Page } from "../ui/basics";
import { Form, PasswordField, SelectField } from "../ui/fields";
import { useAction, useLoad } from "../ui/hooks";
import { notify } from "../ui/notices";

export default function Account() {
  const version = useLoad(readVersion, []);
  const leaving = useAction(signOut);
  const here = browserZone();
  const zones = ["UTC", ...Intl.supportedValuesOf("timeZone").filter((name) => name !== "UTC")];
  if (session.value.state !== "user") return null;
  const { name, device, user } = session.value;
  return (
    <Page
      title="Account and settings"
      lead={
        <p>
          You are signed in as <strong>{user.nickname || name}</strong> ({name}
          {device === "user" ? "" : `, as the device ${device}`}).
        </p>
      }
      actions={
        <>
          <LinkButton href={to("/edit/user/{}", name)} icon="edit">
            Edit my profile
          </LinkButton>
          <button type="button" disabled={leaving.busy} onClick={() => void leaving.run()}>
            Sign out
          </button>
        </>
      }
    >
      <Fault error={leaving.error} />
      <div class="columns">
        <section class="card" aria-labelledby="password-title">
          <h2 id="password-title">Change the password</h2>
          <ChangePassword />
        </section>
        <section class="card" aria-labelledby="looks-title">
          <h2 id="looks-title">This browser</h2>
          <SelectField
            label="Colours"
            value={theme.value}
            options={[
              ["auto", "As the system has them"],
              ["light", "Light"],
              ["dark", "Dark"],
            ]}
            onChange={(value) => (theme.value = value)}
          />
          <SelectField
            label="Time zone"
            value={chosenZone.value}
            options={[["", `That of this device (${here})`], ...zones.map((zone) => [zone, zone] as const)]}
            onChange={(value) => (chosenZone.value = value)}
            help={`All times are shown in it. It is now ${timeText(now(), { seconds: false })}.`}
          />
          <p class="help">ConnectorDB {version.data ?? ""}. <a href="/api/v1/docs">Its API</a> for programs of your own.</p>
        </section>
      </div>
    </Page>
  );
}

function ChangePassword() {
  const [old, setOld] = useState("");
  const [password, setPassword] = useState("");
  const [again, setAgain] = useState("");
  const [tried, setTried] = useState(false);
  const faults = {
    old: old ? null : "Please give the password that you have now.",
    password: password ? null : "Please give a new password.",
    again: password === again ? null : "The two new passwords differ.",
  };
  const action = useAction(async () => {
    const name = myName.value;
    try {
      await login(name, old, remembered.value);
    } catch (error) {
      if (error instanceof Problem && error.status === 401 && error.kind === "unauthenticated")
        throw new Error("That is not the password that you have now. Nothing was changed.");
      throw error;
    }
    await updateUser(name, { password });
    await signIn(name, password, remembered.value);
    setOld("");
    setPassword("");
    setAgain("");
    setTried(false);
    notify("The password was changed. All other browsers are signed out.");
  });
  return (
    <>
      <Fault error={action.error} />
      <Form
        submit="Change the password"
        busy={action.busy}
        busyText="Changing"
        onSubmit={() => {
          setTried(true);
          if (Object.values(faults).every((fault) => fault === null)) void action.run();
        }}
      >
        <input class="sr" type="text" name="username" autocomplete="username" value={myName.value} readOnly tabIndex={-1} aria-hidden="true" />
        <PasswordField label="The password now" value={old} onInput={setOld} autocomplete="current-password" fault={tried ? faults.old : null} />
        <PasswordField label="New password" value={password} onInput={setPassword} autocomplete="new-password" fault={tried ? faults.password : null} />
        <PasswordField label="New password again" value={again} onInput={setAgain} autocomplete="new-password" fault={tried ? faults.again : null} />
      </Form>
    </>
  );
}
