// A line below a list that says what is not in it.

import { Text } from "@mantine/core";
import type { ReactNode } from "react";

export const More = ({ children }: { children: ReactNode }) => (
  <Text size="sm" c="dimmed" ta="center">
    {children}
  </Text>
);
