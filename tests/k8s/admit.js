// Admits a Pod as the API server does with a MutatingAdmissionPolicy: reads {policy, pod, params} from stdin, evaluates the
// CEL expressions of the policy, applies the JSON patches and prints the Pod, or null if a match condition is false.
const fs = require('fs');
const {celEnv, isCelError, isCelList, isCelMap, parse, plan} = require('@bufbuild/cel');

// CEL values as JSON.
function plain(value) {
  if (isCelError(value)) throw value;
  if (typeof value === 'bigint') return Number(value);
  if (isCelList(value)) return [...value].map(plain);
  if (isCelMap(value)) return Object.fromEntries([...value].map(([key, each]) => [key, plain(each)]));
  return value;
}

// Kubernetes has the types JSONPatch and Object.PATH in expressions, where PATH is the way of fields to the value. Here they
// become maps. As in Kubernetes, the type of a field is the type around it and the name of the field, and the values of a
// map or a list have one type.
function withoutTypes(expr, path) {
  if (expr === undefined) return;
  const {case: kind, value} = expr.exprKind;
  if (kind === 'structExpr') {
    const type = value.messageName;
    if (type.startsWith('Object') && path !== undefined && type !== path)
      throw new Error(`type mismatch: ${type} stands where ${path} is expected`);
    if (type === '') oneKind(value.entries.map((each) => each.value));
    for (const entry of value.entries) {
      const field = entry.keyKind.value;
      if (type === 'JSONPatch' && !['op', 'path', 'from', 'value'].includes(field)) throw new Error(`JSONPatch has no field ${field}`);
      if (type !== '') entry.keyKind = {case: 'mapKey', value: text(field)};
      withoutTypes(entry.value, type.startsWith('Object') ? `${type}.${field}` : undefined);
    }
    value.messageName = '';
  } else if (kind === 'listExpr') {
    oneKind(value.elements);
    value.elements.forEach((each) => withoutTypes(each, path));
  } else if (kind === 'callExpr') {
    [value.target, ...value.args].forEach((each) => withoutTypes(each));
  } else if (kind === 'selectExpr') {
    withoutTypes(value.operand);
  } else if (kind === 'comprehensionExpr') {
    [value.iterRange, value.accuInit, value.loopCondition, value.loopStep, value.result].forEach((each) => withoutTypes(each));
  }
}

function text(value) {
  const expr = parse('""').expr;
  expr.exprKind.value.constantKind.value = value;
  return expr;
}

function oneKind(values) {
  const kinds = new Set(values.map(({exprKind: {case: kind, value}}) => kind === 'constExpr' ? value.constantKind.case : value.messageName ?? kind));
  if (kinds.size > 1) throw new Error(`values of several types: ${[...kinds]}`);
}

function evaluate(expression, bindings) {
  const parsed = parse(expression);
  withoutTypes(parsed.expr);
  return plain(plan(celEnv(), parsed.expr)(bindings));
}

// RFC 6902, 4.1.
function add(node, [step, ...rest], value) {
  if (node === undefined) throw new Error(`nothing is at the parent of ${step}`);
  if (rest.length > 0) return add(node[step], rest, value);
  if (!Array.isArray(node)) node[step] = value;
  else if (step === '-') node.push(value);
  else if (Number(step) <= node.length) node.splice(Number(step), 0, value);
  else throw new Error(`no index ${step}`);
}

const {policy, pod, params} = JSON.parse(fs.readFileSync(0, 'utf8'));
const isAdmitted = policy.spec.matchConditions.every(({expression}) => evaluate(expression, {object: pod, params}));
for (const {patchType, jsonPatch} of isAdmitted ? policy.spec.mutations : []) {
  if (patchType !== 'JSONPatch') throw new Error(patchType);
  for (const {op, path, value} of evaluate(jsonPatch.expression, {object: pod, params})) {
    if (op !== 'add') throw new Error(op);
    add(pod, path.split('/').slice(1), value);
  }
}
console.log(JSON.stringify(isAdmitted ? pod : null));
