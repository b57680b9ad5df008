// Keeps what was made of an object for as long as it would come out the same, for lists of which little changes.

/** Return a function that makes something of an object, anew only if the object or what `by` says is another one. */
export function keeping<From extends object, To = From>() {
  const kept = new WeakMap<From, { by: string; made: To }>();
  return (from: From, by: string, make: () => To): To => {
    const known = kept.get(from);
    if (known?.by === by) return known.made;
    const made = make();
    kept.set(from, { by, made });
    return made;
  };
}
