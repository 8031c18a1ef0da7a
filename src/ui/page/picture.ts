/**
 * The swarm as a picture: nodes on an ellipse, the source in the middle, a line for each pair of which one sends to the
 * other. Pure: from who there is and what flows to places and paths, in pixels.
 */
import { hostOf, shortNode } from './words.ts'

/** What flows from one node, or from the source, to another. */
export interface Flow {
  readonly from: string
  readonly to: string
  /** Bytes per second. */
  readonly rate: number
}

/** Stands for all sources together. */
export const source = 'source'

export interface Size {
  readonly width: number
  readonly height: number
}

export interface Someone {
  readonly id: string
  readonly url?: string
  readonly zone?: string
  readonly self: boolean
  /** 0 to 1 of what it fetches now; absent: nothing. */
  readonly progress?: number
}

export interface Place extends Someone {
  readonly label: string
  readonly x: number
  readonly y: number
  readonly labelX: number
  readonly labelY: number
  readonly anchor: 'start' | 'middle' | 'end'
}

export interface Line extends Flow {
  readonly path: string
  readonly width: number
}

export interface Picture {
  readonly source: { readonly x: number; readonly y: number }
  readonly places: readonly Place[]
  readonly lines: readonly Line[]
  /** Nodes for which there is no place: those that rest. */
  readonly left: number
  /** Names are drawn for all places. */
  readonly named: boolean
}

/** More are a crowd in which nobody finds anybody. */
const mostPlaces = 48
/** So many names have room around the ellipse. */
const mostNames = 24
const mostNamesNarrow = 10
/** About, of the page's letters. */
const letterWidth = 7.4

export function pictureOf(nodes: readonly Someone[], flows: readonly Flow[], size: Size): Picture {
  const busy = new Set(flows.flatMap(({ from, to }) => [from, to]))
  const rank = (node: Someone) => (node.self ? 0 : busy.has(node.id) || node.progress !== undefined ? 1 : 2)
  const shown = [...nodes]
    .sort((a, b) => rank(a) - rank(b) || a.id.localeCompare(b.id))
    .slice(0, mostPlaces)
    // Zone by zone, and always in the same order: a node stays where it is while others come and go.
    .sort((a, b) => (a.zone ?? '').localeCompare(b.zone ?? '') || byHost(a).localeCompare(byHost(b)))
  const narrow = size.width < 480
  const named = shown.length <= (narrow ? mostNamesNarrow : mostNames)
  const centre = { x: size.width / 2, y: size.height / 2 }
  // Beside the nodes, or, where there is no room, above and below them.
  const widest = Math.max(0, ...shown.map((node) => labelOf(node).length + (node.progress === undefined ? 0 : 5)))
  const margin = named ? (narrow ? (widest * letterWidth) / 2 + 2 : widest * letterWidth + 26) : 28
  const radius = { x: Math.max(60, size.width / 2 - margin), y: Math.max(60, size.height / 2 - 40) }
  // With a source beside it, it stands above that.
  const alone = shown.length === 1 && flows.length === 0
  const places = shown.map((node, i): Place => {
    const angle = -Math.PI / 2 + (2 * Math.PI * i) / shown.length
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)]
    const x = centre.x + (alone ? 0 : cos * radius.x)
    const y = centre.y + (alone ? 0 : sin * radius.y)
    const anchor = narrow || Math.abs(cos) < 0.25 ? 'middle' : cos > 0 ? 'start' : 'end'
    const [labelX, labelY] = anchor === 'middle' ? [x, y + (sin > -0.01 ? 29 : -19)] : [x + Math.sign(cos) * 20, y + 4]
    return { ...node, label: labelOf(node), x, y, labelX, labelY, anchor }
  })
  const at = new Map(places.map(({ id, x, y }) => [id, { x, y }]))
  const most = Math.max(1, ...flows.map(({ rate }) => rate))
  const lines = flows.flatMap((flow) => {
    const [from, to] = [flow.from === source ? centre : at.get(flow.from), at.get(flow.to)]
    if (!from || !to) return []
    return [{ ...flow, path: curve(from, to, centre), width: 1 + 4 * Math.sqrt(flow.rate / most) }]
  })
  return { source: centre, places, lines, left: nodes.length - shown.length, named }
}

/** The host, or what is left of the id where it is not known. */
export function labelOf({ id, url }: { readonly id: string; readonly url?: string | undefined }): string {
  return url === undefined ? shortNode(id) : hostOf(url)
}

/** To sort by: `10.0.0.9` before `10.0.0.10`. */
export function byHost(node: { readonly id: string; readonly url?: string | undefined }): string {
  return labelOf(node).replace(/\d+/g, (digits) => digits.padStart(4, '0')) + node.id
}

interface Point {
  readonly x: number
  readonly y: number
}

/** Bent towards the middle, and to the right of its way, so that what flows back has a line of its own. */
function curve(from: Point, to: Point, centre: Point): string {
  const gap = 15
  const [dx, dy] = [to.x - from.x, to.y - from.y]
  const length = Math.hypot(dx, dy) || 1
  const middle = { x: (from.x + to.x) / 2, y: (from.y + to.y) / 2 }
  const isSource = from.x === centre.x && from.y === centre.y
  const pull = isSource ? 0 : 0.35
  const aside = isSource ? 0 : Math.min(22, length * 0.12)
  const control = {
    x: middle.x + (centre.x - middle.x) * pull - (dy / length) * aside,
    y: middle.y + (centre.y - middle.y) * pull + (dx / length) * aside,
  }
  const start = towards(from, control, isSource ? 20 : gap)
  const end = towards(to, control, gap)
  return `M${fixed(start)}Q${fixed(control)} ${fixed(end)}`
}

function towards(from: Point, to: Point, distance: number): Point {
  const length = Math.hypot(to.x - from.x, to.y - from.y) || 1
  return { x: from.x + ((to.x - from.x) / length) * distance, y: from.y + ((to.y - from.y) / length) * distance }
}

function fixed({ x, y }: Point): string {
  return `${x.toFixed(1)} ${y.toFixed(1)}`
}
