/** A user as the file of users has it. Pure. */
export interface Account {
  readonly uid: number
  readonly gid: number
}

export function accountIn(users: string, name: string): Account | undefined {
  const [, uid, gid] = new RegExp(`^${name}:[^:]*:(\\d+):(\\d+):`, 'm').exec(users) ?? []
  return uid === undefined || gid === undefined ? undefined : { uid: Number(uid), gid: Number(gid) }
}
