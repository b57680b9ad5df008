// A small button with a picture, whose name appears when it is pointed at.

import { ActionIcon, Tooltip } from "@mantine/core";
import type { Icon } from "@tabler/icons-react";

interface Props {
  label: string;
  icon: Icon;
  disabled?: boolean;
  onClick: () => void;
}

export function Tool({ label, icon: Picture, disabled, onClick }: Props) {
  return (
    <Tooltip label={label}>
      <ActionIcon
        variant="subtle"
        color="gray"
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
