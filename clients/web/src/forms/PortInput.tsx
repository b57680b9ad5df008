// What goes into one port of a job: a text, JSON, or files that are dropped, pasted or chosen.

import {
  ActionIcon,
  Box,
  Button,
  FileButton,
  Group,
  Image,
  JsonInput,
  Stack,
  Text,
  UnstyledButton,
} from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { IconBrush, IconFile, IconPhotoSearch, IconUpload, IconX } from "@tabler/icons-react";
import { type ClipboardEvent, type DragEvent, Suspense, lazy, useState } from "react";

import { ApiError } from "../api/http";
import { artifactUrl, upload } from "../api/queries";
import type { Port } from "../api/types";
import { PromptInput } from "./PromptInput";
import { titleOf } from "./schema";

const GalleryPicker = lazy(() => import("./GalleryPicker"));
const MaskEditor = lazy(() => import("./MaskEditor"));

export interface FileValue {
  artifact: string;
}

interface Props {
  port: Port;
  value: unknown;
  onChange: (value: unknown) => void;
  problem?: string;
  /** The artifact at a picture port beside this one; a mask is painted over it. */
  picture?: string;
}

const ACCEPTED: Record<string, string> = {
  image: "image/*",
  mask: "image/*",
  audio: "audio/*",
  video: "video/*",
};

export function PortInput({ port, value, onChange, problem, picture }: Props) {
  const label = titleOf(port.name, {}) + (port.optional ? " (optional)" : "");
  if (port.type === "text") {
    return (
      <PromptInput
        label={label}
        value={typeof value === "string" ? value : ""}
        onChange={onChange}
        error={problem}
        styles={{ input: { fontSize: "var(--mantine-font-size-md)" } }}
        counter={port["x-ui"]?.counter}
      />
    );
  }
  if (port.type === "data") {
    const given = value as { data?: unknown } | undefined;
    return (
      <JsonInput
        label={label}
        defaultValue={given ? JSON.stringify(given.data, null, 2) : ""}
        onChange={(text) => {
          try {
            onChange({ data: JSON.parse(text) as unknown });
          } catch {
            onChange(undefined);
          }
        }}
        error={problem}
        autosize
        minRows={3}
        validationError="This is no JSON"
      />
    );
  }
  return (
    <FilesInput
      label={label}
      port={port}
      value={value}
      onChange={onChange}
      problem={problem}
      picture={picture}
    />
  );
}

function FilesInput({ label, port, value, onChange, problem, picture }: Props & { label: string }) {
  const [isPainting, setPainting] = useState(false);
  const [isPicking, setPicking] = useState(false);
  const [isOver, setOver] = useState(false);
  const [isBusy, setBusy] = useState(false);
  const files = [value ?? []].flat() as FileValue[];

  const add = (ids: readonly string[]) => {
    const added = ids.map((id) => ({ artifact: id }));
    const all = port.list ? [...files, ...added] : added;
    onChange(all.length === 1 && !port.list ? all[0] : all);
  };
  const take = async (chosen: readonly File[]) => {
    if (!chosen.length) return;
    setBusy(true);
    try {
      const stored = await Promise.all(chosen.map(upload));
      add(stored.map(({ id }) => id));
    } catch (error) {
      const told = error instanceof ApiError ? error : new ApiError(0, "", String(error), "");
      notifications.show({ color: "red", title: told.message, message: told.hint });
    } finally {
      setBusy(false);
    }
  };
  const onDrop = (event: DragEvent) => {
    event.preventDefault();
    event.stopPropagation();
    setOver(false);
    const id = event.dataTransfer.getData("application/x-stable-core-artifact");
    if (id) add([id]);
    else void take([...event.dataTransfer.files]);
  };
  const remove = (index: number) => {
    const left = files.filter((_, at) => at !== index);
    onChange(left.length ? (port.list ? left : left[0]) : undefined);
  };

  return (
    <Box
      onPaste={(event: ClipboardEvent) => {
        if (!event.clipboardData.files.length) return;
        event.preventDefault();
        void take([...event.clipboardData.files]);
      }}
      onDragOver={(event: DragEvent) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={onDrop}
    >
      <Text size="sm" fw={500} mb={4}>
        {label}
      </Text>
      <Stack gap="xs">
        <Group gap="xs">
          {files.map((file, index) => (
            <Box key={`${file.artifact}-${index}`} pos="relative">
              <Preview port={port} id={file.artifact} />
              <ActionIcon
                pos="absolute"
                top={4}
                right={4}
                size="sm"
                color="dark"
                aria-label={`Remove ${port.name}`}
                onClick={() => remove(index)}
              >
                <IconX size={14} />
              </ActionIcon>
            </Box>
          ))}
        </Group>
        {(port.list || !files.length) && (
          <FileButton onChange={(chosen) => void take([chosen].flat())} accept={ACCEPTED[port.type]} multiple>
            {(props) => (
              <UnstyledButton
                {...props}
                aria-label={`Drop, paste or choose ${port.name}`}
                p="lg"
                style={{
                  border: `1.5px dashed var(--mantine-color-${isOver ? "violet-5" : "default-border"})`,
                  borderRadius: "var(--mantine-radius-md)",
                  textAlign: "center",
                }}
              >
                <IconUpload size={20} aria-hidden />
                <Text size="sm" c="dimmed">
                  {isBusy ? "Sending…" : "Drop, paste or choose"}
                </Text>
              </UnstyledButton>
            )}
          </FileButton>
        )}
      </Stack>
      <Group gap="xs" mt="xs">
        {port.type === "mask" && picture && (
          <Button
            size="xs"
            variant="light"
            leftSection={<IconBrush size={16} />}
            onClick={() => setPainting(true)}
          >
            Paint {port.name.replaceAll("_", " ")}
          </Button>
        )}
        <Button
          size="xs"
          variant="subtle"
          leftSection={<IconPhotoSearch size={16} />}
          onClick={() => setPicking(true)}
          aria-label={`Pick ${port.name} from the gallery`}
        >
          From the gallery
        </Button>
      </Group>
      <Suspense>
        {isPicking && (
          <GalleryPicker
            port={port}
            onPick={(id) => {
              setPicking(false);
              add([id]);
            }}
            onClose={() => setPicking(false)}
          />
        )}
        {isPainting && picture && (
          <MaskEditor
            picture={artifactUrl(picture)}
            mask={files[0] && artifactUrl(files[0].artifact)}
            onDone={(mask) => {
              setPainting(false);
              void take([mask]);
            }}
            onClose={() => setPainting(false)}
          />
        )}
      </Suspense>
      {problem && (
        <Text size="xs" c="red" role="alert" mt={4}>
          {problem}
        </Text>
      )}
    </Box>
  );
}

/** Return the first picture among the inputs of a job: what a mask beside it is painted over. */
export function pictureAmong(ports: readonly Port[], inputs: Record<string, unknown>): string | undefined {
  const port = ports.find(({ type, name }) => type === "image" && inputs[name]);
  const file = port && ([inputs[port.name]].flat()[0] as Partial<FileValue> | undefined);
  return file?.artifact;
}

function Preview({ port, id }: { port: Port; id: string }) {
  const url = artifactUrl(id);
  if (port.type === "image" || port.type === "mask")
    return <Image src={url} alt={port.name} h={140} w="auto" radius="md" />;
  if (port.type === "audio") return <audio controls src={url} aria-label={port.name} />;
  if (port.type === "video") return <video controls src={url} height={180} aria-label={port.name} />;
  return (
    <Group gap={4} p="xs">
      <IconFile size={18} />
      <Text size="sm" ff="monospace">
        {id.slice(0, 10)}
      </Text>
    </Group>
  );
}
