// An error of the server, with what to do next.

import { Alert, Text } from "@mantine/core";
import { IconAlertTriangle } from "@tabler/icons-react";

export interface Told {
  message: string;
  hint?: string;
}

export function Problem({ error }: { error: Told }) {
  return (
    <Alert
      color="red"
      variant="light"
      icon={<IconAlertTriangle size={18} />}
      role="alert"
      title={error.message}
    >
      {error.hint && <Text size="sm">{error.hint}</Text>}
    </Alert>
  );
}
