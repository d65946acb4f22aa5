import "./styles.css";

import { render } from "preact";

import { App } from "./App";
import { keepApp } from "./lib/offline";
import { startRouter } from "./lib/router";
import { loadSession } from "./lib/session";
import { startTheme } from "./lib/settings";

startTheme();
startRouter();
void loadSession();
const root = document.getElementById("app");
if (root) render(<App />, root);
keepApp();
