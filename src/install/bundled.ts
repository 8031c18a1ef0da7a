/** The units and the installer as the repository has them: part of the binary, so that there is one of each. */
import installer from '../../scripts/install.sh' with { type: 'text' }
import unit from '../../systemd/shoal.service' with { type: 'text' }
import mounterUnit from '../../systemd/shoal-mounter.service' with { type: 'text' }
import snapshotterUnit from '../../systemd/shoal-snapshotter.service' with { type: 'text' }

export { installer, mounterUnit, snapshotterUnit, unit }
