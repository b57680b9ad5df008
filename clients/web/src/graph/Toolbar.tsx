// The buttons above the canvas.

import { Button, Group, Paper } from "@mantine/core";
import {
  IconArrowBackUp,
  IconArrowForwardUp,
  IconBoxMultiple,
  IconCode,
  IconDownload,
  IconLayoutGrid,
  IconPlayerPlay,
  IconPlus,
  IconTrash,
  IconUpload,
} from "@tabler/icons-react";

import { Tool } from "../ui/Tool";

interface Props {
  isEmpty: boolean;
  canUndo: boolean;
  canRedo: boolean;
  onRun: () => void;
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

export function Toolbar({ isEmpty, canUndo, canRedo, ...on }: Props) {
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
      <Group gap={4}>
        <Button size="xs" leftSection={<IconPlayerPlay size={16} />} disabled={isEmpty} onClick={on.onRun}>
          Run all
        </Button>
        <Tool label="Add a job" icon={IconPlus} onClick={on.onAdd} />
        <Tool label="Undo" icon={IconArrowBackUp} disabled={!canUndo} onClick={on.onUndo} />
        <Tool label="Redo" icon={IconArrowForwardUp} disabled={!canRedo} onClick={on.onRedo} />
        <Tool label="Lay out" icon={IconLayoutGrid} disabled={isEmpty} onClick={on.onLayout} />
        <Tool label="Group" icon={IconBoxMultiple} onClick={on.onFrame} />
        <Tool label="Save as a file" icon={IconDownload} disabled={isEmpty} onClick={on.onSave} />
        <Tool label="Open a file" icon={IconUpload} onClick={on.onOpen} />
        <Tool label="As a program" icon={IconCode} disabled={isEmpty} onClick={on.onProgram} />
        <Tool label="Clear" icon={IconTrash} disabled={isEmpty} onClick={on.onClear} />
      </Group>
    </Paper>
  );
}
