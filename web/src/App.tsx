import type { ComponentChildren, JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import { flush } from "./lib/outbox";
import { match, place } from "./lib/router";
import { isAdmin, loadSession, myName, session } from "./lib/session";
import { Fault, Loading, Page } from "./ui/basics";
import { Boundary } from "./ui/Boundary";
import { Icon, type IconName } from "./ui/Icon";
import { lazy } from "./ui/lazy";
import { Notices, notify } from "./ui/notices";

const SignIn = lazy(() => import("./pages/SignIn"));
const FirstRun = lazy(() => import("./pages/FirstRun"));
const Home = lazy(() => import("./pages/Home"));
const Account = lazy(() => import("./pages/Account"));
const Downlinks = lazy(() => import("./pages/Downlinks"));
const Analyse = lazy(() => import("./pages/Analyse"));
const Upload = lazy(() => import("./pages/Upload"));
const Users = lazy(() => import("./pages/Users"));
const UserPage = lazy(() => import("./pages/User"));
const DevicePage = lazy(() => import("./pages/Device"));
const StreamPage = lazy(() => import("./pages/Stream"));
const EditUser = lazy(() => import("./pages/EditUser"));
const EditDevice = lazy(() => import("./pages/EditDevice"));
const EditStream = lazy(() => import("./pages/EditStream"));

/** The pages, by address. What stands in `{}` comes as `names`. */
const PAGES: readonly (readonly [pattern: string, show: (...names: readonly string[]) => JSX.Element])[] = [
  ["/", () => <Home />],
  ["/account", () => <Account />],
  ["/upload", () => <Upload />],
  ["/users", () => <Users />],
  ["/analyse", () => <Analyse />],
  ["/downlinks", () => <Downlinks />],
  ["/devices", () => <UserPage user={myName.value} />],
  ["/u/{}", (user = "") => <UserPage user={user} />],
  ["/u/{}/{}", (user = "", device = "") => <DevicePage user={user} device={device} />],
  [
    "/u/{}/{}/{}",
    (user = "", device = "", stream = "") => <StreamPage user={user} device={device} stream={stream} />,
  ],
  ["/new/user", () => <EditUser user={null} />],
  ["/edit/user/{}", (user = "") => <EditUser user={user} />],
  ["/new/device/{}", (user = "") => <EditDevice user={user} device={null} />],
  ["/edit/device/{}/{}", (user = "", device = "") => <EditDevice user={user} device={device} />],
  ["/new/stream/{}/{}", (user = "", device = "") => <EditStream user={user} device={device} stream={null} />],
  [
    "/edit/stream/{}/{}/{}",
    (user = "", device = "", stream = "") => <EditStream user={user} device={device} stream={stream} />,
  ],
];

const LINKS: readonly { href: string; text: string; icon: IconName; admin?: true }[] = [
  { href: "/", text: "Home", icon: "home" },
  { href: "/devices", text: "Devices", icon: "devices" },
  { href: "/downlinks", text: "Control", icon: "control" },
  { href: "/analyse", text: "Analyse", icon: "analyse" },
  { href: "/upload", text: "Upload", icon: "upload" },
  { href: "/users", text: "Users", icon: "users", admin: true },
];

export function App() {
  const now = session.value;
  const name = myName.value;
  useEffect(() => {
    if (!name) return;
    void flush().then((sent) => {
      if (sent) notify(`${sent === 1 ? "An entry was" : `${sent} entries were`} sent that had been kept on this device.`);
    });
  }, [name]);
  return (
    <>
      <a class="skip" href="#main">
        Skip to the content
      </a>
      <header class="top">
        <a class="brand" href="/">
          <Brand /> ConnectorDB
        </a>
        {now.state === "user" && <Navigation />}
      </header>
      <main id="main" tabIndex={-1}>
        <Content />
      </main>
      <Notices />
    </>
  );
}

function Navigation() {
  const [open, setOpen] = useState(false);
  const path = place.value.path;
  useEffect(() => setOpen(false), [path]);
  const here = (href: string): boolean => (href === "/" ? path === "/" : path === href);
  return (
    <>
      <button
        type="button"
        class="menu plain"
        aria-expanded={open}
        aria-controls="navigation"
        onClick={() => setOpen(!open)}
      >
        <Icon name={open ? "close" : "menu"} /> <span>Menu</span>
      </button>
      <nav id="navigation" aria-label="Main" class={open ? "main-nav open" : "main-nav"}>
        <ul>
          {LINKS.filter(({ admin }) => !admin || isAdmin.value).map(({ href, text, icon }) => (
            <Entry key={href} href={href} icon={icon} current={here(href)}>
              {text}
            </Entry>
          ))}
          <Entry href="/account" icon="account" current={here("/account")}>
            {myName.value}
            <span class="sr">: account and settings</span>
          </Entry>
        </ul>
      </nav>
    </>
  );
}

function Entry(props: { href: string; icon: IconName; current: boolean; children: ComponentChildren }) {
  return (
    <li>
      <a href={props.href} aria-current={props.current ? "page" : undefined}>
        <Icon name={props.icon} /> <span>{props.children}</span>
      </a>
    </li>
  );
}

function Content() {
  const now = session.value;
  switch (now.state) {
    case "loading":
      return <Loading />;
    case "failed":
      return (
        <Page title="No connection">
          <Fault error={now.error} retry={() => void loadSession()} />
        </Page>
      );
    case "setup":
      return <FirstRun needsKey={now.key} />;
    case "nobody":
      return <SignIn />;
    case "user": {
      const { path } = place.value;
      for (const [pattern, show] of PAGES) {
        const names = match(pattern, path);
        // The key makes a page begin afresh where the address is of another thing.
        if (names !== null) return <Boundary key={`${now.name} ${path}`} title="This page cannot be shown">{show(...names)}</Boundary>;
      }
      return (
        <Page title="There is nothing here">
          <p>
            No page has the address <code>{path}</code>. <a href="/">Go to the home page</a>
          </p>
        </Page>
      );
    }
  }
}

function Brand() {
  return (
    <svg width="28" height="28" viewBox="0 0 64 64" aria-hidden="true" class="brand-mark">
      <rect width="64" height="64" rx="14" />
      <path d="M15 17c0-9 34-9 34 0v30c0 9-34 9-34 0zM15 17c0 9 34 9 34 0" />
      <path class="beat" d="M15 37h8l4-8 7 14 5-9 3 3h7" />
    </svg>
  );
}
