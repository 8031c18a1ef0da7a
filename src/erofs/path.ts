/**
 * The parts of a path in a tar, cleaned as it is written, before any symlink is followed: absolute or not it begins at
 * the root, and `..` leads no further up than that.
 */
export function partsOf(path: string): string[] {
  const parts: string[] = []
  for (const part of path.split('/')) {
    if (part === '..') parts.pop()
    else if (part !== '' && part !== '.') parts.push(part)
  }
  return parts
}
