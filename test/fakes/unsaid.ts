/** For tests of what is read by hand: a message that is to have every field must not fall behind its schema. */
import { z } from 'zod'

/** Paths of the fields that the schema has and the value leaves out, the optional ones too; of a list, of its first item. */
export function unsaid(schema: z.core.$ZodType, value: unknown, path = ''): string[] {
  if (schema instanceof z.ZodOptional) return unsaid(schema.unwrap(), value, path)
  if (schema instanceof z.ZodPipe) return unsaid(schema.in, value, path)
  if (schema instanceof z.ZodArray) return unsaid(schema.element, (value as unknown[])[0], `${path}[0]`)
  if (!(schema instanceof z.ZodObject)) return value === undefined ? [path] : []
  const said = (value ?? {}) as Record<string, unknown>
  return Object.entries(schema.shape as z.core.$ZodShape).flatMap(([key, field]) =>
    key in said ? unsaid(field, said[key], `${path}.${key}`) : [`${path}.${key}`],
  )
}
