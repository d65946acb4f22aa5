import { useState } from "preact/hooks";

import { setUp } from "../api";
import { nameFault } from "../lib/names";
import { loadSession, signIn } from "../lib/session";
import { Fault, Page } from "../ui/basics";
import { Form, PasswordField, TextField } from "../ui/fields";
import { useAction } from "../ui/hooks";

/** A database without any user: here its first one is made, who is its administrator. */
export default function FirstRun({ needsKey }: { needsKey: boolean }) {
  const [name, setName] = useState("");
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const [again, setAgain] = useState("");
  const [key, setKey] = useState("");
  const [tried, setTried] = useState(false);
  const faults = {
    name: nameFault(name.trim()),
    password: password ? null : "Please give a password.",
    again: password === again ? null : "The two passwords differ.",
    key: needsKey && !key.trim() ? "Please give the key." : null,
  };
  const action = useAction(async () => {
    try {
      await setUp({ name: name.trim(), password, email: email.trim(), key: key.trim() });
    } catch (error) {
      // Somebody may have been faster.
      void loadSession();
      throw error;
    }
    await signIn(name.trim(), password, true);
  });
  return (
    <Page
      title="Welcome to ConnectorDB"
      lead={<p>This database is new. Make its first user: you. You will be its administrator, who can add others.</p>}
    >
      <div class="card narrow">
        <Fault error={action.error} />
        <Form
          submit="Create my account"
          busy={action.busy}
          busyText="Creating"
          onSubmit={() => {
            setTried(true);
            if (Object.values(faults).every((fault) => fault === null)) void action.run();
          }}
        >
          <TextField
            label="User name"
            value={name}
            onInput={setName}
            autocomplete="username"
            autocapitalize="none"
            spellcheck={false}
            required
            help="Letters from a to z, digits, - and _. It is part of the path of all that you store, and stays."
            fault={tried ? faults.name : null}
          />
          <TextField
            label="E-mail address (may be left out)"
            type="email"
            value={email}
            onInput={setEmail}
            autocomplete="email"
            help="You can sign in with it, too. Nothing is ever sent to it."
          />
          <PasswordField
            label="Password"
            value={password}
            onInput={setPassword}
            autocomplete="new-password"
            fault={tried ? faults.password : null}
          />
          <PasswordField
            label="The password again"
            value={again}
            onInput={setAgain}
            autocomplete="new-password"
            fault={tried ? faults.again : null}
          />
          {needsKey && (
            <TextField
              label="Key of the administrator"
              value={key}
              onInput={setKey}
              autocomplete="off"
              autocapitalize="none"
              spellcheck={false}
              help={
                <>
                  As you are not at the server’s own machine, prove that it is yours: the key is in the file{" "}
                  <code>keys/admin.key</code> in the folder of the database.
                </>
              }
              fault={tried ? faults.key : null}
            />
          )}
        </Form>
      </div>
    </Page>
  );
}
