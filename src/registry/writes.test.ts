import { describeRegistry } from '../../test/conformance/registry.ts'
import { diskStores } from '../../test/fakes/disk-stores.ts'
import { startPushed } from '../../test/fakes/pushed-registry.ts'

const { openStore, newDir } = diskStores({ each: false })

describeRegistry('a seed', 'apps.corp/team/app', async () => startPushed({ store: await openStore(newDir()) }))
