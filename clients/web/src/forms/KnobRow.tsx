// One knob in one row, where there is little room: its name beside its widget. The whole form is KnobsForm.

import { Box, Text, VisuallyHidden } from "@mantine/core";
import { useId, useState } from "react";

import { PromptInput } from "./PromptInput";
import { SweepInput } from "./SweepInput";
import type { Row } from "./rows";
import { isSweep, isWide } from "./schema";
import { BY_NAME, widgetName } from "./widgets";

interface Props {
  row: Row;
  /** The value that was set; without one, the default holds. */
  value: unknown;
  /** Its value in the last run. */
  lastValue?: unknown;
  problem?: string;
  onChange: (value: unknown) => void;
}

export function KnobRow({ row: { label, knob, isChanged }, value, lastValue, problem, onChange }: Props) {
  const id = useId();
  // A number that is being typed may be empty for a moment: its default must not come back into it.
  const [isEmpty, setEmpty] = useState(false);
  const change = (next: unknown) => {
    setEmpty(next === undefined);
    onChange(next);
  };
  const name = widgetName(knob);
  const isText = isWide(knob);
  const Widget = BY_NAME[name];
  const shown = isEmpty ? undefined : (value ?? knob.default);
  return (
    <Box className="knob-row" data-wide={isText || undefined} onBlur={() => setEmpty(false)}>
      <Text
        component="label"
        htmlFor={id}
        id={`${id}-label`}
        size="xs"
        c={isChanged ? undefined : "dimmed"}
        fw={isChanged ? 600 : undefined}
        truncate
        title={knob.description ? `${label}: ${knob.description}` : label}
      >
        {label}
      </Text>
      <Box miw={0}>
        {isSweep(value) ? (
          <SweepInput
            id={id}
            knob={knob}
            each={value.each}
            onChange={(each) => change(each.length ? { each } : undefined)}
            onClose={() => change(value.each[0])}
          />
        ) : isText ? (
          <PromptInput
            id={id}
            describedBy={`${id}-help`}
            value={typeof shown === "string" ? shown : ""}
            onChange={change}
            autosize={false}
            rows={2}
          />
        ) : (
          Widget && (
            <Widget
              id={id}
              schema={knob}
              value={shown}
              onChange={change}
              lastValue={lastValue}
              describedBy={`${id}-help`}
            />
          )
        )}
      </Box>
      {problem ? (
        <Text className="knob-problem" size="xs" c="red" role="alert" id={`${id}-help`}>
          {problem}
        </Text>
      ) : (
        <VisuallyHidden id={`${id}-help`}>{knob.description}</VisuallyHidden>
      )}
    </Box>
  );
}
