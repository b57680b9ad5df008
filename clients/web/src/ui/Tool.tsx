// A small button with a picture, whose name appears when it is pointed at.

import { ActionIcon, Tooltip } from "@mantine/core";
import type { Icon } from "@tabler/icons-react";

interface Props {
  label: string;
  icon: Icon;
  disabled?: boolean;
  /** A colour for what is to be seen at once. */
  color?: string;
  onClick: () => void;
}

export function Tool({ label, icon: Picture, disabled, color, onClick }: Props) {
  return (
    <Tooltip label={label}>
      <ActionIcon
        variant={color ? "light" : "subtle"}
        color={color ?? "gray"}
        aria-label={label}
        disabled={disabled}
        onClick={onClick}
        style={disabled ? { background: "transparent" } : undefined}
      >
        <Picture size={18} aria-hidden />
      </ActionIcon>
    </Tooltip>
  );
}
