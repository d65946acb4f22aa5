import { useState } from "preact/hooks";

import { Problem } from "../api";
import { hasDrafts } from "../lib/drafts";
import { session, signIn } from "../lib/session";
import { Fault, Page } from "../ui/basics";
import { CheckField, Form, PasswordField, TextField } from "../ui/fields";
import { useAction } from "../ui/hooks";

export default function SignIn() {
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [remember, setRemember] = useState(true);
  const [tried, setTried] = useState(false);
  const action = useAction(async () => {
    try {
      await signIn(name.trim(), password, remember);
    } catch (error) {
      if (error instanceof Problem && error.status === 401 && error.kind === "unauthenticated")
        throw new Problem("The user name or the password is wrong.", 401);
      throw error;
    }
    if (session.value.state === "nobody")
      throw new Error("The browser has not kept the cookie: ConnectorDB needs one to know that it is you.");
  });
  const ended = session.value.state === "nobody" && session.value.ended;
  return (
    <Page title="Sign in">
      <div class="card narrow">
        {ended && action.error === undefined && (
          <p role="status">
            You were signed out: the session is over, or the password was changed.
            {hasDrafts() && " What you were about to enter is there again when you sign in."}
          </p>
        )}
        <Fault error={action.error} />
        <Form
          submit="Sign in"
          busy={action.busy}
          busyText="Signing in"
          onSubmit={() => {
            setTried(true);
            if (name.trim() && password) void action.run();
          }}
        >
          <TextField
            label="User name or e-mail address"
            value={name}
            onInput={setName}
            autocomplete="username"
            autocapitalize="none"
            spellcheck={false}
            required
            fault={tried && !name.trim() ? "Please give your user name." : null}
          />
          <PasswordField
            label="Password"
            value={password}
            onInput={setPassword}
            autocomplete="current-password"
            fault={tried && !password ? "Please give your password." : null}
          />
          <CheckField label="Keep me signed in on this device" checked={remember} onChange={setRemember} />
        </Form>
        <p class="help">
          Forgotten the password? Whoever looks after the server can set a new one:{" "}
          <code>connectordb user passwd</code>
        </p>
      </div>
    </Page>
  );
}
