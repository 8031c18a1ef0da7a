/** For tests of what only root can do or see: other users' files, ports and processes. */
export const notRoot = process.getuid?.() !== 0
if (notRoot) console.warn('skipped: what only root can try')
