/** The icons of the app itself, drawn with lines. */
const PATHS = {
  home: "M4 11 12 4l8 7v9h-5v-6H9v6H4z",
  devices: "M3 5h13v9H3zM6 18h7M9.500 14v4M18 9h3v11h-5v-3",
  control: "M4 7h9M17 7h3M13 4.500v5M4 17h3M11 17h9M7 14.500v5",
  analyse: "M4 20V4M4 20h16M8 16l4-5 3 3 5-7",
  upload: "M12 16V5M7.500 9.500 12 5l4.500 4.500M4 17v3h16v-3",
  users: "M9 11a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7zM2.500 20c.500-4 3-6 6.500-6s6 2 6.500 6M16 4.500a3.300 3.300 0 0 1 0 6M18 14.500c2 .800 3.200 2.700 3.500 5.500",
  account: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4.500 20.500c.700-4.200 3.500-6 7.500-6s6.800 1.800 7.500 6",
  menu: "M4 7h16M4 12h16M4 17h16",
  close: "M6 6l12 12M18 6 6 18",
  plus: "M12 5v14M5 12h14",
  edit: "M4 20l1-4L16 5l3 3L8 19zM14 7l3 3",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13M10.500 11v5.500M13.500 11v5.500",
  copy: "M9 9h11v11H9zM15 9V4H4v11h5",
  check: "M5 12.500 10 17.500 19 7",
  warn: "M12 4 2.500 20h19zM12 10v5M12 17.500v.500",
  key: "M14.500 9.500a4.500 4.500 0 1 1-9 0 4.500 4.500 0 0 1 9 0zM13 13l7 7M16.500 16.500 18.500 14.500",
  star: "M12 3.500l2.600 5.600 6.100.700-4.500 4.200 1.200 6-5.400-3-5.400 3 1.200-6L3.300 9.800l6.100-.700z",
  pin: "M9 4h6l-1 6 3 3v2H7v-2l3-3zM12 15v6",
  link: "M10 14a4 4 0 0 0 5.700 0l3-3A4 4 0 0 0 13 5.300L12 6.300M14 10a4 4 0 0 0-5.700 0l-3 3A4 4 0 0 0 11 18.700l1-1",
  download: "M12 4v11M7.500 10.500 12 15l4.500-4.500M4 17v3h16v-3",
  back: "M14 6l-6 6 6 6",
  next: "M10 6l6 6-6 6",
  zoomIn: "M10.500 17a6.500 6.500 0 1 0 0-13 6.500 6.500 0 0 0 0 13zM15.500 15.500 21 21M10.500 7.500v6M7.500 10.500h6",
  zoomOut: "M10.500 17a6.500 6.500 0 1 0 0-13 6.500 6.500 0 0 0 0 13zM15.500 15.500 21 21M7.500 10.500h6",
  clock: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 7v5l3.500 2",
  off: "M2 8.500c2-2 5-3.500 8-4M22 8.500c-1-1-2.300-2-4-2.700M5 12c1-.900 2.200-1.600 3.500-2M19 12l-2-1.500M8.500 15.500a5 5 0 0 1 6 0M12 19.500v.500M4 3l17 18",
  stream: "M2 13h4l3-8 5 14 3-6h5",
} as const;

export type IconName = keyof typeof PATHS;

/** An icon beside words, or in a control that has a name of its own: it says nothing to a screen reader. */
export function Icon({ name, size = 20 }: { name: IconName; size?: number }) {
  return (
    <svg class="icon" width={size} height={size} viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}
