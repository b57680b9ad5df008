// The page where jobs are filled in, started and seen taking shape.

import { Box, Button, Center, Drawer, Loader } from "@mantine/core";
import { useDisclosure, useMediaQuery } from "@mantine/hooks";
import { IconList } from "@tabler/icons-react";
import { useState } from "react";
import { useLocation, useParams } from "wouter";

import { useSignatures } from "../api/queries";
import type { Signature } from "../api/types";
import { Empty } from "../ui/Empty";
import { Problem } from "../ui/Problem";
import { JobForm } from "./JobForm";
import { Palette } from "./Palette";
import { Results } from "./Results";
import { useRestore } from "./useRestore";

const LAST_JOB = "last-job";

/** Tell what a newcomer sees first: a job that makes a picture from a text alone, a text that is counted if there is one. */
const welcome = (signatures: readonly Signature[]): Signature | undefined => {
  const found = signatures.filter(
    ({ kind, inputs: [text, ...more], outputs }) =>
      kind === "job" && text?.type === "text" && !more.length && outputs[0]?.type === "image",
  );
  return found.find(({ inputs }) => inputs[0]?.["x-ui"]?.counter) ?? found[0];
};

export function JobsPage() {
  const { data: signatures, error } = useSignatures();
  const asked = useParams()["*"];
  const [, navigate] = useLocation();
  const isNarrow = useMediaQuery("(max-width: 62em)", window.innerWidth < 992);
  const [isOpen, palette] = useDisclosure();
  const [restored, setRestored] = useState(0);
  const restore = useRestore(() => setRestored((count) => count + 1));
  if (error)
    return (
      <Box p="md">
        <Problem error={error} />
      </Box>
    );
  if (!signatures)
    return (
      <Center h="60vh">
        <Loader aria-label="Loading" />
      </Center>
    );

  const byName = new Map(signatures.map((signature) => [signature.name, signature]));
  const name = asked ?? localStorage.getItem(LAST_JOB) ?? welcome(signatures)?.name ?? "";
  const signature = byName.get(name) ?? (asked ? undefined : signatures[0]);
  if (signature && asked) localStorage.setItem(LAST_JOB, signature.name);
  const list = (
    <Palette
      signatures={signatures}
      chosen={signature?.name}
      onChoose={(chosen) => {
        palette.close();
        navigate(`/jobs/${chosen}`);
      }}
    />
  );
  // On a phone they stand above the knobs, which must stay within reach.
  const results = signature && <Results name={signature.name} shown={isNarrow ? 1 : 30} />;
  const form = signature ? (
    <JobForm key={`${signature.name} ${restored}`} signature={signature}>
      {isNarrow && results}
    </JobForm>
  ) : (
    <Empty title={`There is no job ${name}`}>Is its plugin installed? Choose another one.</Empty>
  );
  if (isNarrow) {
    return (
      <Box p="md" {...restore}>
        <Button
          mb="sm"
          variant="default"
          size="xs"
          leftSection={<IconList size={16} />}
          onClick={palette.open}
        >
          All jobs
        </Button>
        <Drawer
          opened={isOpen}
          onClose={palette.close}
          title="Jobs"
          padding={0}
          styles={{ header: { padding: "var(--mantine-spacing-md)" } }}
        >
          <Box onClick={(event) => (event.target as HTMLElement).closest("a") && palette.close()}>{list}</Box>
        </Drawer>
        {form}
      </Box>
    );
  }
  return (
    <Box style={{ display: "grid", gridTemplateColumns: "240px minmax(380px, 480px) 1fr" }} {...restore}>
      <Box className="scroll-column" style={{ borderRight: "1px solid var(--mantine-color-default-border)" }}>
        {list}
      </Box>
      <Box className="scroll-column" style={{ borderRight: "1px solid var(--mantine-color-default-border)" }}>
        {/* Not on the column itself: what sticks to its edges would keep that far from them. */}
        <Box p="md">{form}</Box>
      </Box>
      <Box className="scroll-column" p="md">
        {results}
      </Box>
    </Box>
  );
}
