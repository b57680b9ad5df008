// The buttons above the canvas.

import { ActionIcon, Button, Group, Menu, Paper } from "@mantine/core";
import {
  IconArrowBackUp,
  IconArrowForwardUp,
  IconBoxMultiple,
  IconCode,
  IconDots,
  IconDownload,
  IconLayoutGrid,
  IconPlayerPlay,
  IconPlayerStop,
  IconPlus,
  IconTrash,
  IconUpload,
} from "@tabler/icons-react";
import type { ComponentProps } from "react";

import { Tool } from "../ui/Tool";
import { useIsNarrow } from "./useView";

interface Props {
  isEmpty: boolean;
  /** Whether something of the graph runs or waits. */
  isRunning: boolean;
  canUndo: boolean;
  canRedo: boolean;
  onRun: () => void;
  onCancel: () => void;
  onAdd: () => void;
  onUndo: () => void;
  onRedo: () => void;
  onLayout: () => void;
  onFrame: () => void;
  onSave: () => void;
  onOpen: () => void;
  onProgram: () => void;
  onClear: () => void;
}

export function Toolbar({ isEmpty, isRunning, canUndo, canRedo, ...on }: Props) {
  const isNarrow = useIsNarrow();
  const rare: Rare[] = [
    { label: "Group", icon: IconBoxMultiple, onClick: on.onFrame },
    { label: "Save as a file", icon: IconDownload, disabled: isEmpty, onClick: on.onSave },
    { label: "Open a file", icon: IconUpload, onClick: on.onOpen },
    { label: "As a program", icon: IconCode, disabled: isEmpty, onClick: on.onProgram },
    { label: "Clear", icon: IconTrash, disabled: isEmpty, onClick: on.onClear },
  ];
  return (
    <Paper
      pos="absolute"
      top={12}
      left={12}
      maw="calc(100% - 24px)"
      withBorder
      p={6}
      shadow="xs"
      role="toolbar"
      aria-label="Graph"
    >
      <Group gap={4} wrap="nowrap">
        <Button
          size="xs"
          leftSection={<IconPlayerPlay size={16} />}
          disabled={isEmpty}
          onClick={on.onRun}
          flex="none"
        >
          Run all
        </Button>
        <Tool
          label="Cancel"
          icon={IconPlayerStop}
          color={isRunning ? "red" : undefined}
          disabled={!isRunning}
          onClick={on.onCancel}
        />
        <Tool label="Add a job" icon={IconPlus} onClick={on.onAdd} />
        <Tool label="Undo" icon={IconArrowBackUp} disabled={!canUndo} onClick={on.onUndo} />
        <Tool label="Redo" icon={IconArrowForwardUp} disabled={!canRedo} onClick={on.onRedo} />
        <Tool label="Lay out" icon={IconLayoutGrid} disabled={isEmpty} onClick={on.onLayout} />
        {isNarrow ? <More tools={rare} /> : rare.map((tool) => <Tool key={tool.label} {...tool} />)}
      </Group>
    </Paper>
  );
}

type Rare = Omit<ComponentProps<typeof Tool>, "color">;

/** What there is no place for on a phone. */
function More({ tools }: { tools: Rare[] }) {
  return (
    <Menu position="bottom-end" withinPortal>
      <Menu.Target>
        <ActionIcon variant="subtle" color="gray" aria-label="More">
          <IconDots size={18} aria-hidden />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        {tools.map(({ label, icon: Picture, ...rest }) => (
          <Menu.Item key={label} leftSection={<Picture size={16} aria-hidden />} {...rest}>
            {label}
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}
