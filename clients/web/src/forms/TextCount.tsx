// How long a text is and what of it is too much, in the line below its field. The line is there before the count is.

import { Group, Text } from "@mantine/core";

import type { Hints } from "../api/types";
import { useCount } from "./useCount";

interface Props {
  id: string;
  counter: NonNullable<Hints["counter"]>;
  text: string;
}

export function TextCount({ id, counter, text }: Props) {
  const count = useCount(counter, text);
  const isOver = Boolean(count?.cut);
  return (
    <Group id={id} gap="xs" justify="space-between" align="start" wrap="nowrap" mih={20} mt={2}>
      <Text size="xs" c="dimmed" style={{ minWidth: 0, overflowWrap: "anywhere" }}>
        {count?.notes.join(" ")}
        {count?.cut && !count.notes.length && `Too long. This is left out: ${count.cut}`}
      </Text>
      <Text
        size="xs"
        c={isOver ? "var(--mantine-color-orange-light-color)" : "dimmed"}
        fw={isOver ? 600 : undefined}
        style={{ flexShrink: 0 }}
      >
        {count && `${count.tokens}${count.limit ? ` / ${count.limit}` : ""} tokens`}
      </Text>
    </Group>
  );
}
