output "prefix" {
  description = "Begins every queue's name: <prefix>-<name with dots as dashes>-<priority>."
  value       = var.prefix
}

output "work" {
  description = "Queues of work: name of the ledger to lanes, each with arn, name, role, architecture and priority."
  value = {
    for name, queue in local.work : name => [
      for priority in queue.priorities : {
        arn          = aws_sqs_queue.lane["${name}/${priority}"].arn
        name         = aws_sqs_queue.lane["${name}/${priority}"].name
        role         = queue.role
        architecture = queue.arch
        priority     = priority
      }
    ]
  }
}

output "system" {
  description = "Queues that functions drain: name to the ARNs of its lanes, by priority."
  value = {
    for name, queue in local.system : name => {
      for priority in queue.priorities : priority => aws_sqs_queue.lane["${name}/${priority}"].arn
    }
  }
}

output "results_arn" {
  description = "Queue that the bucket tells of result manifests. Known once its policy is there, since S3 tries it."
  value       = aws_sqs_queue.lane["results/normal"].arn
  depends_on  = [aws_sqs_queue_policy.lane]
}

output "forge_arn" {
  description = "Queue of what a forge tells. Null: there is none."
  value       = one([for name, queue in aws_sqs_queue.lane : queue.arn if name == "forge/normal"])
}

output "lane_names" {
  description = "Names of all lanes, for the dashboard."
  value       = sort([for queue in aws_sqs_queue.lane : queue.name])
}

output "dead_names" {
  description = "Names of all dead-letter queues, for the dashboard."
  value       = sort([for queue in aws_sqs_queue.dead : queue.name])
}
