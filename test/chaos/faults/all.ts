// Every fault the nemesis may draw.

import { administration } from './administration.ts'
import { badPeerLinks } from './bad-links.ts'
import { badClientLinks } from './client-links.ts'
import { fullDisk } from './disks.ts'
import type { Fault } from './fault.ts'
import { partitions } from './partitions.ts'
import { processFaults } from './processes.ts'
import { wrongClocks } from './wrong-clocks.ts'

export const allFaults: readonly Fault[] = [
  ...partitions,
  ...badPeerLinks,
  ...badClientLinks,
  ...processFaults,
  fullDisk,
  ...wrongClocks,
  ...administration,
]
