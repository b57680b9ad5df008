// Colours, fonts and sizes of the whole page.

import { type CSSVariablesResolver, createTheme } from "@mantine/core";

export const theme = createTheme({
  primaryColor: "violet",
  defaultRadius: "md",
  fontFamily: "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif",
  headings: { fontWeight: "600" },
  cursorType: "pointer",
  respectReducedMotion: true,
  components: {
    // What is only drawn has a name too, for those who hear the page.
    Modal: { defaultProps: { closeButtonProps: { "aria-label": "Close" } } },
    Drawer: { defaultProps: { closeButtonProps: { "aria-label": "Close" } } },
    Notification: { defaultProps: { closeButtonProps: { "aria-label": "Close" } } },
  },
});

/** The kit's greys for lesser text are too faint for many eyes: these have a contrast of 5 and more on every ground. */
export const contrasts: CSSVariablesResolver = () => ({
  variables: {},
  light: {
    "--mantine-color-dimmed": "#5c636a",
    "--mantine-color-placeholder": "#6c737a",
    "--mantine-color-error": "#c92a2a",
    "--mantine-color-green-light-color": "#1b6a2d",
    "--mantine-color-orange-light-color": "#a13f00",
    "--mantine-color-orange-outline": "#a13f00",
    "--mantine-color-gray-light-color": "#495057",
    "--mantine-color-gray-outline": "#5c636a",
    "--mantine-color-blue-light-color": "#1864ab",
    "--mantine-color-red-light-color": "#c92a2a",
  },
  dark: {
    "--mantine-color-dimmed": "#adb1b6",
    "--mantine-color-placeholder": "#979ba0",
    "--mantine-color-error": "#ff8787",
    "--mantine-color-anchor": "#b197fc",
  },
});
