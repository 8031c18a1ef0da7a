/** Light or dark: the system's choice until somebody makes another. */
export type Theme = 'auto' | 'light' | 'dark'

const key = 'shoal-theme'

export function storedTheme(keep: Pick<Storage, 'getItem'>): Theme {
  const stored = keep.getItem(key)
  return stored === 'light' || stored === 'dark' ? stored : 'auto'
}

export function setTheme(theme: Theme, keep: Pick<Storage, 'setItem' | 'removeItem'>, root: HTMLElement): void {
  if (theme === 'auto') {
    keep.removeItem(key)
    delete root.dataset.theme
  } else {
    keep.setItem(key, theme)
    root.dataset.theme = theme
  }
}
