output "topic_arn" {
  description = "SNS topic that gets every alarm. Known once services may publish to it."
  value       = aws_sns_topic.alarms.arn
  depends_on  = [aws_sns_topic_policy.alarms]
}

output "dashboard_name" {
  description = "Name of the dashboard in CloudWatch."
  value       = aws_cloudwatch_dashboard.millrace.dashboard_name
}
