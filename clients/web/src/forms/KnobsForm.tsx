// The form of a job's or a plugin's knobs, drawn from their JSON Schema by the form library with our widgets.

import Form from "@rjsf/core";
import type {
  FieldTemplateProps,
  ObjectFieldTemplateProps,
  RJSFSchema,
  UiSchema,
  ValidatorType,
} from "@rjsf/utils";
import {
  ActionIcon,
  Box,
  Collapse,
  Group,
  Menu,
  SimpleGrid,
  Stack,
  Text,
  Tooltip,
  UnstyledButton,
  VisuallyHidden,
} from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconArrowBackUp, IconArrowsSplit2, IconChevronRight, IconDots } from "@tabler/icons-react";
import { type ReactNode, useMemo, useState } from "react";

import type { KnobSchema } from "../api/types";
import {
  type Path,
  type Values,
  arrange,
  isRecord,
  isShown,
  isSweep,
  isWide,
  setAt,
  titleOf,
  valueAt,
  wholeRows,
} from "./schema";
import { SweepInput } from "./SweepInput";
import { widgetName, widgets } from "./widgets";

interface Props {
  schema: KnobSchema;
  values: Values;
  onChange: (values: Values) => void;
  /** Values of the last run; its seed can be used again. */
  lastValues?: Values;
  /** What the server says is wrong, by the dotted path of the knob. */
  problems?: Record<string, string>;
  /** Whether a knob can take several values, one run each. */
  canSweep?: boolean;
}

interface Context extends Required<Pick<Props, "values" | "problems" | "canSweep">> {
  set: (path: Path, value: unknown) => void;
}

/** The server judges; the form only needs something that answers "valid". */
const trusting: ValidatorType = {
  validateFormData: () => ({ errors: [], errorSchema: {} }),
  isValid: () => true,
  rawValidation: () => ({ errors: [] }),
  toErrorList: () => [],
} as unknown as ValidatorType;

export function KnobsForm({
  schema,
  values,
  onChange,
  lastValues = {},
  problems = {},
  canSweep = false,
}: Props) {
  const uiSchema = useMemo(() => drawn(schema, lastValues), [schema, lastValues]);
  const context: Context = {
    values,
    problems,
    canSweep,
    set: (path, value) => onChange(setAt(values, path, value)),
  };
  return (
    <Form
      tagName="div"
      schema={schema as RJSFSchema}
      uiSchema={uiSchema}
      formData={withoutSweeps(values, schema)}
      formContext={context}
      validator={trusting}
      widgets={widgets}
      templates={{ FieldTemplate: Knob, ObjectFieldTemplate: Groups }}
      onChange={({ formData }) => onChange(withSweeps(formData as Values, values))}
      showErrorList={false}
      noHtml5Validate
    >
      <></>
    </Form>
  );
}

/** Tell the form library which widget draws which knob. */
function drawn(schema: KnobSchema, lastValues: Values): UiSchema {
  const knobs = Object.entries(schema.properties ?? {}).map(([name, knob]) => {
    const last = lastValues[name];
    if (knob.properties) return [name, drawn(knob, isRecord(last) ? last : {})];
    return [name, { "ui:widget": widgetName(knob), "ui:options": { lastValue: last } }];
  });
  return Object.fromEntries(knobs) as UiSchema;
}

/** One knob: its name, its widget, its help, and a menu to put it back or to sweep it. */
function Knob({ id, label, schema, children, registry, fieldPathId, hidden }: FieldTemplateProps) {
  const { problems, canSweep, values, set } = registry.formContext as Context;
  const path = fieldPathId.path;
  const knob = schema as KnobSchema;
  if (hidden) return null;
  if (knob.properties) return <>{children}</>;
  const value = valueAt(values, path);
  const problem = problems[path.join(".")];
  const isChanged = value !== undefined && JSON.stringify(value) !== JSON.stringify(knob.default);
  return (
    <Box>
      <Group justify="space-between" gap={4} wrap="nowrap" h={24}>
        <Tooltip
          label={knob.description}
          disabled={!knob.description}
          multiline
          maw={320}
          openDelay={300}
          position="top-start"
        >
          <Text component="label" htmlFor={id} id={`${id}-label`} size="sm" fw={500} truncate>
            {titleOf(path.at(-1) ?? label, knob)}
          </Text>
        </Tooltip>
        <Group gap={2} wrap="nowrap">
          {isChanged && (
            <ActionIcon
              size="sm"
              variant="subtle"
              color="gray"
              aria-label={`Reset ${label}`}
              title="Back to the default"
              onClick={() => set(path, knob.default)}
            >
              <IconArrowBackUp size={15} />
            </ActionIcon>
          )}
          {canSweep && !isSweep(value) && (
            <Menu position="bottom-end" withinPortal>
              <Menu.Target>
                <ActionIcon size="sm" variant="subtle" color="gray" aria-label={`More for ${label}`}>
                  <IconDots size={15} />
                </ActionIcon>
              </Menu.Target>
              <Menu.Dropdown>
                <Menu.Item
                  leftSection={<IconArrowsSplit2 size={15} />}
                  onClick={() => set(path, { each: [value ?? knob.default] })}
                >
                  Try several values
                </Menu.Item>
              </Menu.Dropdown>
            </Menu>
          )}
        </Group>
      </Group>
      {isSweep(value) ? (
        <SweepInput
          id={id}
          knob={knob}
          each={value.each}
          onChange={(each) => set(path, each.length ? { each } : knob.default)}
          onClose={() => set(path, value.each[0])}
        />
      ) : (
        children
      )}
      {problem ? (
        <Text size="xs" c="red" role="alert" id={`${id}-help`} mt={4}>
          {problem}
        </Text>
      ) : (
        <VisuallyHidden id={`${id}-help`}>{knob.description}</VisuallyHidden>
      )}
    </Box>
  );
}

/** The knobs of a job or of one nested group: by group, advanced ones folded away. */
function Groups({ schema, properties, formData, fieldPathId, registry }: ObjectFieldTemplateProps) {
  const wrong = Object.keys((registry.formContext as Context).problems);
  const path = fieldPathId.path;
  const isWrong = (names: readonly (string | number)[]) =>
    names.some((one) => wrong.some((place) => `${place}.`.startsWith(`${[...path, one].join(".")}.`)));
  const knobs = schema as KnobSchema;
  const { groups, advanced, nested } = arrange(knobs);
  const shown = (names: string[]) =>
    properties.filter(
      ({ name }) =>
        names.includes(name) && isShown(knobs.properties?.[name] ?? {}, (formData ?? {}) as Values, knobs),
    );
  const isNested = path.length > 0;
  const body = (
    <Stack gap="lg">
      {groups.map(({ title: heading, names }) => (
        <Section key={heading} heading={heading} knobs={knobs} shown={shown(names)} />
      ))}
      {nested.length > 0 && (
        <Stack gap="xs">
          {shown(nested).map(({ name, content }) => (
            <Box key={name}>{content}</Box>
          ))}
        </Stack>
      )}
      {advanced.length > 0 && (
        <Fold label="More" isWrong={isWrong(advanced)}>
          <Section knobs={knobs} shown={shown(advanced)} />
        </Fold>
      )}
    </Stack>
  );
  if (!isNested) return body;
  const name = String(path.at(-1));
  const isOn = isRecord(formData) && (formData as Values)["enabled"] === true;
  return (
    <Fold
      label={titleOf(name, {})}
      description={knobs.description}
      isOn={isOn}
      isWrong={wrong.some((place) => place.startsWith(`${path.join(".")}.`))}
    >
      {body}
    </Fold>
  );
}

interface SectionProps {
  heading?: string;
  knobs: KnobSchema;
  shown: ObjectFieldTemplateProps["properties"];
}

function Section({ heading, knobs, shown }: SectionProps) {
  const widths = wholeRows(shown.map(({ name }) => isWide(knobs.properties?.[name] ?? {})));
  return (
    <Box>
      {heading && (
        <Text size="xs" fw={700} tt="uppercase" c="dimmed" mb={6} style={{ letterSpacing: "0.04em" }}>
          {heading}
        </Text>
      )}
      <SimpleGrid type="container" cols={{ base: 1, "400px": 2 }} spacing="md" verticalSpacing="sm">
        {shown.map(({ name, content }, at) => (
          <Box key={name} style={widths[at] ? { gridColumn: "1 / -1" } : { minWidth: 0 }}>
            {content}
          </Box>
        ))}
      </SimpleGrid>
    </Box>
  );
}

interface FoldProps {
  label: string;
  description?: string;
  isOn?: boolean;
  /** Whether something in it is wrong, which must be seen. */
  isWrong: boolean;
  children: ReactNode;
}

function Fold({ label, description, isOn = false, isWrong, children }: FoldProps) {
  const [isUnfolded, { toggle }] = useDisclosure(isOn);
  const isOpen = isUnfolded || isWrong;
  // What was never seen is not drawn: jobs may have a hundred knobs.
  const [wasOpen, setWasOpen] = useState(isOpen);
  if (isOpen && !wasOpen) setWasOpen(true);
  return (
    <Box>
      <UnstyledButton onClick={toggle} aria-expanded={isOpen} w="100%" py={6}>
        <Group gap={6} wrap="nowrap">
          <IconChevronRight
            size={16}
            aria-hidden
            style={{
              transform: isOpen ? "rotate(90deg)" : undefined,
              transition: "transform 120ms",
              flexShrink: 0,
            }}
          />
          <Text size="sm" fw={600}>
            {label}
          </Text>
          {description && (
            <Text size="xs" c="dimmed" truncate>
              {description}
            </Text>
          )}
        </Group>
      </UnstyledButton>
      <Collapse expanded={isOpen}>
        <Box pl={22} pt={6} pb={6}>
          {wasOpen && children}
        </Box>
      </Collapse>
    </Box>
  );
}

/** Return the values for the form library, which knows no sweeps: a swept knob shows its first value. */
export function withoutSweeps(values: Values, schema: KnobSchema): Values {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => {
      const knob = schema.properties?.[name];
      if (isSweep(value)) return [name, value.each[0]];
      return [name, knob?.properties && isRecord(value) ? withoutSweeps(value, knob) : value];
    }),
  );
}

/** Return what the form library made, with the sweeps put back. */
export function withSweeps(made: Values, before: Values): Values {
  return Object.fromEntries(
    Object.entries(made).map(([name, value]) => {
      const known = before[name];
      if (isSweep(known)) return [name, known];
      return [name, isRecord(value) && isRecord(known) ? withSweeps(value, known) : value];
    }),
  );
}
