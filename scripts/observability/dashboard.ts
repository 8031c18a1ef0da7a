/**
 * Grafana's dashboard, made from `panels.ts` by Grafana's own library. `bun scripts/observability/dashboard.ts` writes
 * `dashboard.json`, which is what people import; the formatter has it its own way.
 */
import { join } from 'node:path'
import {
  ReduceDataOptionsBuilder,
  StackingConfigBuilder,
  StackingMode,
  TooltipDisplayMode,
  VizLegendOptionsBuilder,
  VizTooltipOptionsBuilder,
} from '@grafana/grafana-foundation-sdk/common'
import {
  type Dashboard,
  DashboardBuilder,
  DashboardCursorSync,
  DatasourceVariableBuilder,
  QueryVariableBuilder,
  RowBuilder,
  ThresholdsConfigBuilder,
  ThresholdsMode,
  VariableRefresh,
} from '@grafana/grafana-foundation-sdk/dashboard'
import { DataqueryBuilder } from '@grafana/grafana-foundation-sdk/prometheus'
import { PanelBuilder as StatBuilder } from '@grafana/grafana-foundation-sdk/stat'
import { PanelBuilder as SeriesBuilder } from '@grafana/grafana-foundation-sdk/timeseries'
import { type Panel, rows } from './panels.ts'

const datasource = { type: 'prometheus', uid: '$' + '{datasource}' }
/** What `$scope` stands for: jobs and nodes as chosen above the panels. */
const scope = 'job=~"$job",instance=~"$instance"'

export function dashboard(): Dashboard {
  const builder = new DashboardBuilder('shoal')
    .uid('shoal')
    .description('Nodes that share container images: what pulls are like, what registries are spared, what goes wrong.')
    .tags(['shoal'])
    .time({ from: 'now-6h', to: 'now' })
    .refresh('30s')
    .timezone('browser')
    .tooltip(DashboardCursorSync.Crosshair)
    .withVariable(new DatasourceVariableBuilder('datasource').label('Prometheus').type('prometheus'))
    .withVariable(choice('job', 'cluster', 'label_values(shoal_build_info, job)'))
    // Of thousands of nodes, all is not a list of them; of jobs it is, for Prometheus knows others.
    .withVariable(choice('instance', 'node', 'label_values(shoal_build_info{job=~"$job"}, instance)').allValue('.+'))
  let id = 1
  for (const row of rows) {
    builder.withRow(new RowBuilder(row.title).id(id++))
    for (const panel of row.panels) builder.withPanel((panel.as === 'number' ? number(panel) : lines(panel)).id(id++))
  }
  return builder.build()
}

function choice(name: string, label: string, query: string) {
  return new QueryVariableBuilder(name)
    .label(label)
    .datasource(datasource)
    .query(query)
    .refresh(VariableRefresh.OnTimeRangeChanged)
    .multi(true)
    .includeAll(true)
    .current({ text: 'All', value: '$__all' })
}

function targets({ queries, as }: Panel): DataqueryBuilder[] {
  return queries.map(({ expr, legend }, i) => {
    const query = new DataqueryBuilder()
      .datasource(datasource)
      .expr(expr.replaceAll('$scope', scope))
      .legendFormat(legend)
      .refId(String.fromCharCode(65 + i))
    return as === 'number' ? query.instant() : query.range()
  })
}

function number(panel: Panel): StatBuilder {
  const steps = 'below' in (panel.bad ?? {}) ? ['red', 'green'] : ['green', 'red']
  const at = panel.bad && ('from' in panel.bad ? panel.bad.from : panel.bad.below)
  return new StatBuilder()
    .title(panel.title)
    .description(panel.help)
    .datasource(datasource)
    .unit(panel.unit)
    .noValue('none')
    .span(4)
    .height(5)
    .reduceOptions(new ReduceDataOptionsBuilder().calcs(['lastNotNull']))
    .thresholds(
      new ThresholdsConfigBuilder()
        .mode(ThresholdsMode.Absolute)
        .steps([
          { value: null, color: at === undefined ? 'blue' : steps[0]! },
          ...(at === undefined ? [] : [{ value: at, color: steps[1]! }]),
        ]),
    )
    .targets(targets(panel))
}

function lines(panel: Panel): SeriesBuilder {
  const builder = new SeriesBuilder()
    .title(panel.title)
    .description(panel.help)
    .datasource(datasource)
    .unit(panel.unit)
    .min(0)
    .span(8)
    .height(7)
    .fillOpacity(panel.as === 'stack' ? 40 : 8)
    .legend(new VizLegendOptionsBuilder().showLegend(true))
    .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi))
    .targets(targets(panel))
  return panel.as === 'stack' ? builder.stacking(new StackingConfigBuilder().mode(StackingMode.Normal)) : builder
}

export const file = join(import.meta.dir, 'dashboard.json')

if (import.meta.main) await Bun.write(file, `${JSON.stringify(dashboard(), null, 2)}\n`)
