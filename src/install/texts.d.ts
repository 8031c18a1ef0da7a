/** Files that are part of the binary as they are. */
declare module '*.service' {
  const text: string
  export default text
}
declare module '*.sh' {
  const text: string
  export default text
}
