/** Help topics are part of the binary as they are. */
declare module '*.md' {
  const text: string
  export default text
}
