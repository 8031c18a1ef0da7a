/** Help topics, in the order in which they are listed: to begin with, to understand, recipes, and when something is wrong. */
import airGapped from './air-gapped.md' with { type: 'text' }
import cluster from './cluster.md' with { type: 'text' }
import dataCentre from './data-centre.md' with { type: 'text' }
import engines from './engines.md' with { type: 'text' }
import fromDragonfly from './from-dragonfly.md' with { type: 'text' }
import fromKraken from './from-kraken.md' with { type: 'text' }
import fromSpegel from './from-spegel.md' with { type: 'text' }
import harbor from './harbor.md' with { type: 'text' }
import kubernetes from './kubernetes.md' with { type: 'text' }
import { type Topic, topicOf } from './page.ts'
import preheat from './preheat.md' with { type: 'text' }
import privateImages from './private-images.md' with { type: 'text' }
import proxy from './proxy.md' with { type: 'text' }
import quickstart from './quickstart.md' with { type: 'text' }
import security from './security.md' with { type: 'text' }
import tenHosts from './ten-hosts.md' with { type: 'text' }
import troubleshooting from './troubleshooting.md' with { type: 'text' }

export const topics: readonly Topic[] = [
  topicOf('quickstart', quickstart),
  topicOf('engines', engines),
  topicOf('cluster', cluster),
  topicOf('security', security),
  topicOf('private-images', privateImages),
  topicOf('preheat', preheat),
  topicOf('ten-hosts', tenHosts),
  topicOf('data-centre', dataCentre),
  topicOf('kubernetes', kubernetes),
  topicOf('harbor', harbor),
  topicOf('air-gapped', airGapped),
  topicOf('proxy', proxy),
  topicOf('from-kraken', fromKraken),
  topicOf('from-dragonfly', fromDragonfly),
  topicOf('from-spegel', fromSpegel),
  topicOf('troubleshooting', troubleshooting),
]
