/**
 * How an operator changes settings of the node of this host, and has them count. Where the unit is installed nobody is
 * sent to `shoal up`: as root, that would leave files in the service's folder which the service cannot open.
 */
export interface Ways {
  /** The unit is installed on this host. */
  readonly service: boolean
  /** The command that sets those flags. */
  set(flags: string): string
  readonly start: string
  readonly restart: string
}

export function waysOf(service: boolean): Ways {
  return service
    ? {
        service,
        set: (flags) => `shoal install ${flags}`,
        start: 'systemctl start shoal; journalctl -u shoal -n 50',
        restart: 'systemctl restart shoal',
      }
    : {
        service,
        set: (flags) => `shoal up ${flags}`,
        start: 'shoal up   # or shoal install, for a service',
        restart: 'end the node, and start it again: shoal up',
      }
}
