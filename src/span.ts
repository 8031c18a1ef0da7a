/** `[[3, 'd'], [4, 'h']]`: a time as its two largest units; one where it has no others. Negative ones are none. Pure. */
export function largestUnits(seconds: number): readonly (readonly [count: number, unit: string])[] {
  const whole = Math.max(0, Math.floor(seconds))
  const parts = [
    [Math.floor(whole / 86_400), 'd'],
    [Math.floor(whole / 3600) % 24, 'h'],
    [Math.floor(whole / 60) % 60, 'm'],
    [whole % 60, 's'],
  ] as const
  const first = parts.findIndex(([count]) => count > 0)
  return first < 0 ? [[0, 's']] : parts.slice(first, first + 2)
}
