// One input per kind of knob. Labels, help and errors around it are drawn by Knob.

import {
  ActionIcon,
  Autocomplete,
  ColorInput,
  Group,
  NumberInput,
  PasswordInput,
  Select,
  Slider,
  Switch,
  TagsInput,
  TextInput,
  Tooltip,
} from "@mantine/core";
import { IconArrowBackUp, IconDice5, IconRefresh } from "@tabler/icons-react";
import type { Widget, WidgetProps as FormWidgetProps } from "@rjsf/utils";
import type { ComponentType } from "react";

import { useModels } from "../api/queries";
import type { KnobSchema } from "../api/types";
import { PromptInput } from "./PromptInput";
import { hintsOf } from "./schema";
import { suggested } from "./suggested";

export interface WidgetProps {
  id: string;
  schema: KnobSchema;
  value: unknown;
  onChange: (value: unknown) => void;
  /** The value of this knob in the last run, for a seed to be used again. */
  lastValue?: unknown;
  describedBy?: string;
}

/** Name what draws a knob of this schema: a key of `widgets`. */
export function widgetName(schema: KnobSchema): string {
  const { component = "" } = hintsOf(schema);
  if (component in BY_NAME) return component;
  const type = [schema.type].flat().find((one) => one !== "null");
  if (schema.enum) return "choice";
  if (type === "boolean") return "switch";
  if (type === "integer" || type === "number") return "number";
  if (type === "array" && schema.items?.type === "string") return "tags";
  return type === "string" ? "text" : "json";
}

const stepOf = (schema: KnobSchema): number => {
  const isWhole = [schema.type].flat().includes("integer");
  const wanted = hintsOf(schema).step ?? schema.multipleOf;
  if (wanted) return wanted;
  if (isWhole) return 1;
  return (schema.maximum ?? 10) - (schema.minimum ?? 0) <= 2 ? 0.01 : 0.1;
};

/** Let a field be described by the help at its knob. The kit would put ids of its own in `aria-describedby`. */
const described = (id?: string) => ({ attributes: { input: { "aria-describedby": id } } });

function NumberWidget({ id, schema, value, onChange, describedBy }: WidgetProps) {
  const isOptional = [schema.type].flat().includes("null");
  const unit = hintsOf(schema).unit;
  return (
    <NumberInput
      id={id}
      {...described(describedBy)}
      value={typeof value === "number" ? value : ""}
      onChange={(typed) => onChange(typed === "" ? (isOptional ? null : undefined) : Number(typed))}
      min={schema.minimum}
      max={schema.maximum}
      step={stepOf(schema)}
      allowDecimal={![schema.type].flat().includes("integer")}
      clampBehavior="blur"
      suffix={unit ? ` ${unit}` : undefined}
      placeholder={isOptional ? "automatic" : undefined}
    />
  );
}

function SliderWidget(props: WidgetProps) {
  const { schema, value, onChange, id } = props;
  if (schema.minimum === undefined || schema.maximum === undefined) return <NumberWidget {...props} />;
  const shown = typeof value === "number" ? value : Number(schema.default ?? schema.minimum);
  return (
    <Group gap="sm" wrap="nowrap">
      <Slider
        flex={1}
        min={schema.minimum}
        max={schema.maximum}
        step={stepOf(schema)}
        value={shown}
        onChange={onChange}
        label={null}
        thumbProps={{ "aria-labelledby": `${id}-label` }}
      />
      <div style={{ width: 88 }}>
        <NumberWidget {...props} />
      </div>
    </Group>
  );
}

function SeedWidget(props: WidgetProps) {
  const { onChange, lastValue } = props;
  return (
    <Group gap={6} wrap="nowrap">
      <div style={{ flex: 1 }}>
        <NumberWidget {...props} />
      </div>
      <Tooltip label="A new random seed each time">
        <ActionIcon variant="default" size="input-sm" aria-label="Random seed" onClick={() => onChange(-1)}>
          <IconDice5 size={18} />
        </ActionIcon>
      </Tooltip>
      <Tooltip label="The seed of the last run">
        <ActionIcon
          variant="default"
          size="input-sm"
          aria-label="Seed of the last run"
          disabled={typeof lastValue !== "number"}
          onClick={() => onChange(lastValue)}
        >
          <IconArrowBackUp size={18} />
        </ActionIcon>
      </Tooltip>
    </Group>
  );
}

function ChoiceWidget({ id, schema, value, onChange, describedBy }: WidgetProps) {
  const choices = (schema.enum ?? []).map(String);
  return (
    <Select
      id={id}
      {...described(describedBy)}
      data={choices}
      value={choices.find((choice) => choice === (value as string)) ?? null}
      onChange={(chosen) => onChange((schema.enum ?? []).find((one) => String(one) === chosen))}
      searchable={choices.length > 8}
      allowDeselect={false}
      nothingFoundMessage="Nothing like that"
    />
  );
}

function ModelWidget({ id, schema, value, onChange, describedBy }: WidgetProps) {
  const { data = [], refetch, isFetching } = useModels(hintsOf(schema).kind ?? "");
  const names = [...new Set([...(schema.examples ?? []).map(String), ...data])];
  return (
    <Group gap={6} wrap="nowrap">
      <Autocomplete
        id={id}
        {...described(describedBy)}
        flex={1}
        data={names}
        value={typeof value === "string" ? value : ""}
        onChange={onChange}
        filter={suggested}
        limit={200}
        onFocus={(event) => event.currentTarget.select()}
      />
      <Tooltip label="Look for new files">
        <ActionIcon
          variant="default"
          size="input-sm"
          aria-label="Look for new files"
          loading={isFetching}
          onClick={() => void refetch()}
        >
          <IconRefresh size={18} />
        </ActionIcon>
      </Tooltip>
    </Group>
  );
}

function TextWidget({ id, schema, value, onChange, describedBy }: WidgetProps) {
  const text = typeof value === "string" ? value : "";
  if (schema.examples?.length) {
    return (
      <Autocomplete
        id={id}
        {...described(describedBy)}
        data={schema.examples.map(String)}
        value={text}
        onChange={onChange}
        filter={suggested}
        onFocus={(event) => event.currentTarget.select()}
      />
    );
  }
  return (
    <TextInput
      id={id}
      {...described(describedBy)}
      value={text}
      onChange={(event) => onChange(event.currentTarget.value)}
    />
  );
}

function TagsWidget({ id, schema, value, onChange, describedBy }: WidgetProps) {
  const choices = (schema.items?.enum ?? schema.examples ?? []).map(String);
  const chosen = Array.isArray(value) ? value.map(String) : [];
  return (
    <TagsInput
      id={id}
      attributes={{ inputField: { "aria-describedby": describedBy } }}
      data={choices}
      value={chosen}
      onChange={onChange}
      acceptValueOnBlur
    />
  );
}

function TextareaWidget({ id, schema, value, onChange, describedBy }: WidgetProps) {
  return (
    <PromptInput
      counter={hintsOf(schema).counter}
      id={id}
      describedBy={describedBy}
      value={typeof value === "string" ? value : ""}
      onChange={onChange}
    />
  );
}

function ColorWidget({ id, value, onChange, describedBy }: WidgetProps) {
  return (
    <ColorInput
      id={id}
      eyeDropperButtonProps={{ "aria-label": "Pick a colour from the screen" }}
      {...described(describedBy)}
      value={typeof value === "string" ? value : ""}
      onChange={onChange}
    />
  );
}

function PasswordWidget({ id, value, onChange, describedBy }: WidgetProps) {
  return (
    <PasswordInput
      id={id}
      {...described(describedBy)}
      value={typeof value === "string" ? value : ""}
      placeholder="unchanged"
      onChange={(event) => onChange(event.currentTarget.value)}
    />
  );
}

function SwitchWidget({ id, value, onChange, describedBy }: WidgetProps) {
  return (
    <Switch
      id={id}
      aria-describedby={describedBy}
      checked={value === true}
      onChange={(event) => onChange(event.currentTarget.checked)}
    />
  );
}

function JsonWidget({ id, value, onChange, describedBy }: WidgetProps) {
  const shown = typeof value === "string" ? value : JSON.stringify(value ?? null);
  const read = (text: string): unknown => {
    try {
      return JSON.parse(text);
    } catch {
      return text;
    }
  };
  return (
    <TextInput
      key={shown}
      id={id}
      {...described(describedBy)}
      defaultValue={shown}
      ff="monospace"
      onBlur={(event) => onChange(read(event.currentTarget.value))}
    />
  );
}

/** What draws a knob, by the name that `widgetName` gives. */
export const BY_NAME: Record<string, ComponentType<WidgetProps>> = {
  seed: SeedWidget,
  model: ModelWidget,
  color: ColorWidget,
  password: PasswordWidget,
  textarea: TextareaWidget,
  slider: SliderWidget,
  choice: ChoiceWidget,
  switch: SwitchWidget,
  number: NumberWidget,
  text: TextWidget,
  tags: TagsWidget,
  json: JsonWidget,
};

/** The widgets as the form library takes them. */
export const widgets: Record<string, Widget> = Object.fromEntries(
  Object.entries(BY_NAME).map(([name, Shown]): [string, Widget] => [
    name,
    ({ id, schema, value, onChange, options }: FormWidgetProps) => (
      <Shown
        id={id}
        schema={schema as KnobSchema}
        value={value as unknown}
        onChange={onChange}
        lastValue={options["lastValue"] as unknown}
        describedBy={`${id}-help`}
      />
    ),
  ]),
);
