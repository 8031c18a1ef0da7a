/** Where a node finds the logins that tools leave for whoever runs them, while no setting names a file. Pure. */
import type { Host } from './host.ts'

/** Where the logins are while no --credentials-file says it. */
export function loginPlaces(host: Host): readonly string[] {
  return placesOf(host, 'docker.json', '.docker/config.json')
}

/** Where the access keys are while no --home-credentials-file says it. */
export function keyPlaces(host: Host): readonly string[] {
  return placesOf(host, 'aws', '.aws/credentials')
}

/** A service's own, else that of whoever runs the node. */
function placesOf({ root, home, service }: Host, given: string, own: string): readonly string[] {
  const places = [
    ...(service?.credentials ? [`${service.credentials}/${given}`] : []),
    `${home}/${own}`,
    ...(root ? [`/root/${own}`] : []),
  ]
  return [...new Set(places)]
}
