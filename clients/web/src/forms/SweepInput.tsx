// Several values for one knob, one run each, as tags. It knows no form.

import { ActionIcon, Group, TagsInput } from "@mantine/core";
import { IconX } from "@tabler/icons-react";

import type { KnobSchema } from "../api/types";

interface Props {
  id: string;
  knob: KnobSchema;
  each: unknown[];
  onChange: (each: unknown[]) => void;
  onClose: () => void;
}

export function SweepInput({ id, knob, each, onChange, onClose }: Props) {
  const types = [knob.type].flat();
  const isNumber = types.includes("number") || types.includes("integer");
  const read = (text: string): unknown => {
    if (isNumber) return Number(text);
    return types.includes("boolean") ? text === "true" : text;
  };
  return (
    <Group gap={6} wrap="nowrap" align="start">
      <TagsInput
        id={id}
        attributes={{ inputField: { "aria-describedby": `${id}-help` } }}
        flex={1}
        miw={0}
        data={knob.enum?.map(String) ?? (types.includes("boolean") ? ["true", "false"] : [])}
        value={each.map(String)}
        onChange={(texts) =>
          onChange(texts.filter((text) => !isNumber || !Number.isNaN(Number(text))).map(read))
        }
        placeholder="Another value"
        splitChars={[","]}
        acceptValueOnBlur
      />
      <ActionIcon
        variant="default"
        size="input-sm"
        aria-label="One value only"
        title="One value only"
        onClick={onClose}
      >
        <IconX size={16} />
      </ActionIcon>
    </Group>
  );
}
