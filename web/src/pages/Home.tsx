import { Page } from "../ui/basics";

export default function Home() {
  return <Page title="Home" />;
}
