import type { ComponentChildren } from 'preact'

/** What may be wider than the screen: with a name, and within reach of the keyboard, which could not move it otherwise. */
export function Scroll({ label, children }: { label: string; children: ComponentChildren }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: WCAG 2.1.1, what scrolls is scrolled by keys too
    <section class="scroll" tabIndex={0} aria-label={label}>
      {children}
    </section>
  )
}
