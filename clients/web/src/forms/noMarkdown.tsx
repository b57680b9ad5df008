// Stands in for the form library's Markdown renderer: our templates draw descriptions themselves.

import type { ReactNode } from "react";

export function Markdown({ children }: { children: ReactNode }) {
  return <>{children}</>;
}
