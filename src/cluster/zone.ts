/**
 * Zones are `region/zone/rack`. Nodes whose first two parts agree are at one site: between them links are as good as any.
 * Between two sites there may be one thin line for all of them.
 */

const slash = 47
/** How many leading parts make a site. */
const siteParts = 2

/** The site of a zone, `region/zone`; undefined for a node that was not told its zone, which is near to everybody. */
export function siteOf(zone: string | undefined): string | undefined {
  if (!zone) return undefined
  const first = zone.indexOf('/')
  const second = first < 0 ? -1 : zone.indexOf('/', first + 1)
  return second < 0 ? zone : zone.slice(0, second)
}

/** They are known to be at different sites. `eu` may be any of the sites in it. */
export function apart(a: string | undefined, b: string | undefined): boolean {
  if (!a || !b) return false
  let parts = 0
  // Part by part without cutting them out: this runs for each of the holders that a decision looks at.
  for (let i = 0; parts < siteParts; i++) {
    const left = i < a.length ? a.charCodeAt(i) : slash
    const right = i < b.length ? b.charCodeAt(i) : slash
    if (left !== right) return true
    if (i >= a.length || i >= b.length) return false
    if (left === slash) parts++
  }
  return false
}
