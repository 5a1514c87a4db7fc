import { expect, test } from 'vitest'
import { runPowerLoss } from './power-loss-run.ts'

test('no acknowledged write is lost when one node, two, or all lose their power, again and again', {
  timeout: 60_000,
}, async () => {
  const reports = [await runPowerLoss(1, 30), await runPowerLoss(2, 30), await runPowerLoss(3, 30)]
  const met = reports.map(({ losses, lossesInFlight, acknowledgedWrites }) => ({
    losses,
    lossesInFlight,
    acknowledgedWrites,
  }))
  for (const { losses, lossesInFlight, acknowledgedWrites } of met) {
    expect(losses).toBeGreaterThanOrEqual(60)
    expect(lossesInFlight).toBeGreaterThan(0)
    expect(acknowledgedWrites).toBeGreaterThan(30)
  }
})
